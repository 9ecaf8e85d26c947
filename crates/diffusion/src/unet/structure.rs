//! How the blocks of a U-Net follow from its configuration.

use fairhuman_engine::ConvParams;

use super::UNetConfig;
use super::blocks::{Attending, Resnet, Shared, SpatialTransformer};
use crate::net::{ConvId, LinearId, NormId, Plan};

/// Two linear layers with SiLU between (TimestepEmbedding).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Embed {
    pub first: LinearId,
    pub second: LinearId,
}

#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Each resnet and the attention that follows it.
    pub layers: Vec<(Resnet, Option<SpatialTransformer>)>,
    /// The convolution that ends the stage: stride 2 on the way down, after doubling on the way up.
    pub resample: Option<ConvId>,
}

#[derive(Debug, Clone)]
pub(crate) struct Middle {
    pub first: Resnet,
    pub attention: SpatialTransformer,
    pub last: Resnet,
}

#[derive(Debug, Clone)]
pub(crate) struct Structure {
    pub time: Embed,
    pub added: Option<Embed>,
    pub conv_in: ConvId,
    pub down: Vec<Stage>,
    pub middle: Option<Middle>,
    pub up: Vec<Stage>,
    pub norm_out: NormId,
    pub conv_out: ConvId,
}

impl Structure {
    /// The blocks, and in `plan` their layers.
    pub(crate) fn new(c: &UNetConfig, plan: &mut Plan) -> Self {
        let n = c.channels.len();
        let shared = Shared { groups: c.groups, eps: c.eps, time: Some(c.time_width) };
        let attending = |block: usize| Attending {
            channels: c.channels[block],
            heads: c.heads[block],
            cross: c.text_width,
            only_cross: c.only_cross_attention[block],
            linear_projection: c.linear_projection,
            groups: c.groups,
        };
        let embed = |plan: &mut Plan, name: &str, inputs: usize| Embed {
            first: plan.linear(format!("{name}.linear_1"), inputs, c.time_width, true),
            second: plan.linear(format!("{name}.linear_2"), c.time_width, c.time_width, true),
        };
        let time = embed(plan, "time_embedding", c.channels[0]);
        let added = c.added.map(|a| embed(plan, "add_embedding", 6 * a.time_dim + a.pooled));
        let centred = |kernel: usize| ConvParams::square(kernel, 1, (kernel - 1) / 2);
        let conv_in = plan.conv("conv_in", c.in_channels, c.channels[0], centred(c.conv_in_kernel));

        // Channels of everything that the way up takes back, innermost last.
        let mut skips = vec![c.channels[0]];
        let mut down = Vec::new();
        let mut width = c.channels[0];
        for (block, &channels) in c.channels.iter().enumerate() {
            let name = format!("down_blocks.{block}");
            let mut layers = Vec::new();
            for layer in 0..c.layers[block] {
                let resnet = Resnet::plan(plan, &format!("{name}.resnets.{layer}"), width, channels, shared);
                let attention = c.down_attends[block].then(|| {
                    let name = format!("{name}.attentions.{layer}");
                    SpatialTransformer::plan(plan, &name, c.depth[block][layer], attending(block))
                });
                layers.push((resnet, attention));
                skips.push(channels);
                width = channels;
            }
            let resample = (block + 1 < n).then(|| {
                skips.push(channels);
                plan.conv(
                    format!("{name}.downsamplers.0.conv"),
                    channels,
                    channels,
                    halving(c.downsample_padding),
                )
            });
            down.push(Stage { layers, resample });
        }

        let middle = c.middle.then(|| Middle {
            first: Resnet::plan(plan, "mid_block.resnets.0", width, width, shared),
            attention: SpatialTransformer::plan(
                plan,
                "mid_block.attentions.0",
                c.middle_depth,
                // The setting is not for the middle: diffusers' UNetMidBlock2DCrossAttn always attends to itself.
                Attending { only_cross: false, ..attending(n - 1) },
            ),
            last: Resnet::plan(plan, "mid_block.resnets.1", width, width, shared),
        });

        let mut up = Vec::new();
        for index in 0..n {
            let block = n - 1 - index;
            let channels = c.channels[block];
            let name = format!("up_blocks.{index}");
            let mut layers = Vec::new();
            for layer in 0..=c.layers[block] {
                let joined = width + skips.pop().unwrap_or_default();
                let resnet = Resnet::plan(plan, &format!("{name}.resnets.{layer}"), joined, channels, shared);
                let attention = c.up_attends[index].then(|| {
                    let name = format!("{name}.attentions.{layer}");
                    SpatialTransformer::plan(plan, &name, c.up_depth[index][layer], attending(block))
                });
                layers.push((resnet, attention));
                width = channels;
            }
            let resample = (index + 1 < n).then(|| {
                plan.conv(
                    format!("{name}.upsamplers.0.conv"),
                    channels,
                    channels,
                    ConvParams::square(3, 1, 1),
                )
            });
            up.push(Stage { layers, resample });
        }

        let norm_out = plan.group_norm("conv_norm_out", width, c.groups, c.eps);
        let conv_out = plan.conv("conv_out", width, c.out_channels, centred(c.conv_out_kernel));
        Self { time, added, conv_in, down, middle, up, norm_out, conv_out }
    }

    /// All attentions in the order of the forward pass.
    pub(super) fn transformers(&self) -> impl Iterator<Item = &SpatialTransformer> {
        let middle = self.middle.as_ref().map(|middle| &middle.attention);
        attentions(&self.down).chain(middle).chain(attentions(&self.up))
    }
}

fn attentions(stages: &[Stage]) -> impl Iterator<Item = &SpatialTransformer> {
    stages.iter().flat_map(|stage| stage.layers.iter().filter_map(|(_, attention)| attention.as_ref()))
}

/// Stride 2; without padding one row and one column of zeros are added at the far ends.
pub(crate) fn halving(padding: usize) -> ConvParams {
    let pad = if padding == 0 { [0, 0, 1, 1] } else { [padding; 4] };
    ConvParams { kernel: (3, 3), stride: 2, pad }
}
