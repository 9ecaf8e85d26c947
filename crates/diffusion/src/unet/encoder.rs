//! The first half of a U-Net: time embedding, first convolution, down blocks and mid block. A ControlNet is
//! this half once more, with convolutions on its outputs.

use fairhuman_engine::{Activation, Backend, ConvParams, Tape, Var};

use super::blocks::{Resnet, ResnetConfig, SpatialTransformer, TransformerConfig};
use super::context::ContextCursor;
use super::residuals::Shapes;
use super::{Added, UNetConfig, embed};
use crate::net::{ConvId, Layers, LinearId, Plan};

/// Two linear layers with SiLU between (TimestepEmbedding).
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimestepEmbedding {
    first: LinearId,
    second: LinearId,
}

/// DownBlock2D or CrossAttnDownBlock2D.
#[derive(Debug, Clone)]
struct DownBlock {
    /// Each resnet and the attention that follows it.
    layers: Vec<(Resnet, Option<SpatialTransformer>)>,
    /// CrossAttnDownBlock2D?
    attends: bool,
    channels: usize,
    /// The convolution of stride 2 that ends every block but the last.
    downsample: Option<ConvId>,
}

/// UNetMidBlock2DCrossAttn, or UNetMidBlock2D, which is one resnet.
#[derive(Debug, Clone)]
struct MidBlock {
    first: Resnet,
    rest: Option<(SpatialTransformer, Resnet)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    time: TimestepEmbedding,
    added: Option<TimestepEmbedding>,
    conv_in: ConvId,
    down: Vec<DownBlock>,
    mid: Option<MidBlock>,
}

/// Inputs of [`Encoder::forward`].
pub(crate) struct EncoderInput<'a, B: Backend> {
    /// `[N, h, w, C]`.
    pub latents: &'a Var<B>,
    /// [`Encoder::embed_time`].
    pub time: &'a Var<B>,
    /// Added after the first convolution: the embedded control image of a ControlNet.
    pub hint: Option<&'a Var<B>>,
    /// Added inside the down path and to the middle: see [`super::Residuals::features`].
    pub features: &'a [Var<B>],
}

/// Outputs of [`Encoder::forward`].
pub(crate) struct Encoded<B: Backend> {
    /// The up path's skips: outputs of the first convolution, every layer and every downsampler, in this
    /// order.
    pub skips: Vec<Var<B>>,
    /// Output of the mid block.
    pub mid: Var<B>,
}

impl Encoder {
    /// Adds the layers to `plan`.
    pub(crate) fn plan(c: &UNetConfig, plan: &mut Plan) -> Self {
        let time = TimestepEmbedding::plan(plan, "time_embedding", c.channels[0], c.time_width);
        let embedding = |inputs| TimestepEmbedding::plan(plan, "add_embedding", inputs, c.time_width);
        let added = c.added.map(|a| 6 * a.time_dim + a.pooled).map(embedding);
        let conv_in = plan.conv("conv_in", c.in_channels, c.channels[0], centred(c.conv_in_kernel));
        let mut width = c.channels[0];
        let down = (0..c.channels.len()).map(|block| DownBlock::plan(c, plan, block, &mut width)).collect();
        let mid = c.middle.then(|| MidBlock::plan(c, plan, width));
        Self { time, added, conv_in, down, mid }
    }

    /// The time embedding with SDXL's added conditions and `more`, which a ControlNetUnion adds, after the
    /// SiLU that every resnet would apply, `[N, T]`.
    pub(crate) fn embed_time<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        c: &UNetConfig,
        timesteps: &[f32],
        (added, more): (Option<&Added<B>>, Option<&Var<B>>),
    ) -> Var<B> {
        let backend = tape.backend();
        let n = timesteps.len();
        let sinusoids =
            |values: &[f32], width| embed::sinusoids(values, width, c.flip_sin_to_cos, c.freq_shift);
        let time = backend.tensor(&[n, c.channels[0]], &sinusoids(timesteps, c.channels[0]));
        let mut time = self.time.forward(net, tape, &Var::constant(time), more);
        if let (Some(layers), Some(settings), Some(added)) = (self.added, c.added, added) {
            let ids = sinusoids(added.time_ids.as_flattened(), settings.time_dim);
            let ids = Var::constant(backend.tensor(&[n, 6 * settings.time_dim], &ids));
            let conditions = tape.concat(&added.pooled, &ids);
            time = layers.forward(net, tape, &conditions, Some(&time));
        }
        tape.activation(&time, Activation::Silu)
    }

    pub(crate) fn forward<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        input: &EncoderInput<'_, B>,
        context: &mut ContextCursor<'_, B>,
    ) -> Encoded<B> {
        let time = Some(input.time);
        let mut features = input.features.iter();
        let mut x = net.conv(tape, self.conv_in, input.latents, None, input.hint);
        let mut skips = vec![x.clone()];
        for block in &self.down {
            for (i, (resnet, attention)) in block.layers.iter().enumerate() {
                x = resnet.forward(net, tape, &x, time);
                if let Some(attention) = attention {
                    x = attention.forward(net, tape, &x, context);
                }
                if block.attends && i + 1 == block.layers.len() {
                    x = plus(tape, x, features.next());
                }
                skips.push(x.clone());
            }
            if let Some(conv) = block.downsample {
                x = net.conv(tape, conv, &x, None, None);
                skips.push(x.clone());
            }
            // diffusers adds here in place: the skip that was just taken has the feature, too.
            if !block.attends
                && let (Some(feature), Some(skip)) = (features.next(), skips.last_mut())
            {
                x = tape.add(&x, feature);
                *skip = x.clone();
            }
        }
        if let Some(mid) = &self.mid {
            x = mid.first.forward(net, tape, &x, time);
            if let Some((attention, last)) = &mid.rest {
                x = attention.forward(net, tape, &x, context);
                x = last.forward(net, tape, &x, time);
            }
            x = plus(tape, x, features.next());
        }
        Encoded { skips, mid: x }
    }

    /// Channels of the skips, in their order.
    pub(crate) fn skip_channels(&self) -> Vec<usize> {
        let first = self.down.first().map(|block| block.channels);
        let of_block = |block: &DownBlock| {
            std::iter::repeat_n(block.channels, block.layers.len() + usize::from(block.downsample.is_some()))
        };
        first.into_iter().chain(self.down.iter().flat_map(of_block)).collect()
    }

    /// Shapes of everything that can be added to, for `n` latents of size `(h, w)`.
    pub(crate) fn shapes(&self, plan: &Plan, n: usize, latents: (usize, usize)) -> Shapes {
        let mut size = plan.convs[self.conv_in.0].geometry.output(latents);
        let of = |(h, w): (usize, usize), channels| [n, h, w, channels];
        let mut shapes =
            Shapes { skips: Vec::new(), mid: [0; 4], features: Vec::new(), has_mid: self.mid.is_some() };
        if let Some(first) = self.down.first() {
            shapes.skips.push(of(size, first.channels));
        }
        for block in &self.down {
            let before = size;
            shapes.skips.extend(std::iter::repeat_n(of(size, block.channels), block.layers.len()));
            if let Some(conv) = block.downsample {
                size = plan.convs[conv.0].geometry.output(size);
                shapes.skips.push(of(size, block.channels));
            }
            shapes.features.push(of(if block.attends { before } else { size }, block.channels));
            shapes.mid = of(size, block.channels);
        }
        shapes
    }

    /// All text attentions in the order of the forward pass.
    pub(crate) fn transformers(&self) -> impl Iterator<Item = &SpatialTransformer> {
        let down = self.down.iter().flat_map(|block| &block.layers);
        let down = down.filter_map(|(_, attention)| attention.as_ref());
        let mid = self.mid.as_ref().and_then(|mid| mid.rest.as_ref());
        down.chain(mid.map(|(attention, _)| attention))
    }
}

impl TimestepEmbedding {
    /// Adds the layers to `plan`.
    pub(crate) fn plan(plan: &mut Plan, name: &str, inputs: usize, width: usize) -> Self {
        Self {
            first: plan.linear(format!("{name}.linear_1"), inputs, width, true),
            second: plan.linear(format!("{name}.linear_2"), width, width, true),
        }
    }

    pub(crate) fn forward<'m, B: Backend>(
        self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
        residual: Option<&Var<B>>,
    ) -> Var<B> {
        let h = net.linear(tape, self.first, x, None);
        let h = tape.activation(&h, Activation::Silu);
        net.linear(tape, self.second, &h, residual)
    }
}

impl DownBlock {
    /// `width`: channels that come in; those that go out afterwards.
    fn plan(c: &UNetConfig, plan: &mut Plan, block: usize, width: &mut usize) -> Self {
        let (channels, attends) = (c.channels[block], c.down_attends[block]);
        let name = format!("down_blocks.{block}");
        let mut layers = Vec::new();
        for layer in 0..c.layers[block] {
            let resnet =
                Resnet::plan(plan, &format!("{name}.resnets.{layer}"), *width, channels, resnet_config(c));
            let attention = attends.then(|| {
                let name = format!("{name}.attentions.{layer}");
                SpatialTransformer::plan(plan, &name, c.depth[block][layer], transformer_config(c, block))
            });
            layers.push((resnet, attention));
            *width = channels;
        }
        let downsample = (block + 1 < c.channels.len()).then(|| {
            let name = format!("{name}.downsamplers.0.conv");
            plan.conv(name, channels, channels, downsample(c.downsample_padding))
        });
        Self { layers, attends, channels, downsample }
    }
}

impl MidBlock {
    fn plan(c: &UNetConfig, plan: &mut Plan, width: usize) -> Self {
        // only_cross_attention is not for the middle: diffusers' UNetMidBlock2DCrossAttn always attends to
        // itself.
        let config = TransformerConfig { only_cross: false, ..transformer_config(c, c.channels.len() - 1) };
        let first = Resnet::plan(plan, "mid_block.resnets.0", width, width, resnet_config(c));
        let rest = c.middle_attends.then(|| {
            let attention = SpatialTransformer::plan(plan, "mid_block.attentions.0", c.middle_depth, config);
            (attention, Resnet::plan(plan, "mid_block.resnets.1", width, width, resnet_config(c)))
        });
        Self { first, rest }
    }
}

/// Constants of all resnets of a U-Net.
pub(super) fn resnet_config(c: &UNetConfig) -> ResnetConfig {
    ResnetConfig { groups: c.groups, eps: c.eps, time: Some(c.time_width) }
}

/// Settings of the transformers at the resolution of down block `block`.
pub(super) fn transformer_config(c: &UNetConfig, block: usize) -> TransformerConfig {
    TransformerConfig {
        channels: c.channels[block],
        heads: c.heads[block],
        cross: c.text_width,
        only_cross: c.only_cross_attention[block],
        linear_projection: c.linear_projection,
        groups: c.groups,
    }
}

/// An odd kernel of stride 1 that keeps the size.
pub(super) fn centred(kernel: usize) -> ConvParams {
    ConvParams::square(kernel, 1, (kernel - 1) / 2)
}

/// Stride 2; without padding one row and one column of zeros are added at the far ends.
pub(crate) fn downsample(padding: usize) -> ConvParams {
    let pad = if padding == 0 { [0, 0, 1, 1] } else { [padding; 4] };
    ConvParams { kernel: (3, 3), stride: 2, pad }
}

/// `x` with a residual where there is one.
pub(super) fn plus<B: Backend>(tape: &mut Tape<'_, B>, x: Var<B>, residual: Option<&Var<B>>) -> Var<B> {
    match residual {
        Some(residual) => tape.add(&x, residual),
        None => x,
    }
}
