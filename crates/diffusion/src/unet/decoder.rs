//! The second half of a U-Net: up blocks, which take the encoder's skips back, and the last convolution.

use fairhuman_engine::{Backend, ConvParams, Tape, Var};

use super::UNetConfig;
use super::blocks::{Resnet, SpatialTransformer};
use super::context::ContextCursor;
use super::encoder::{Encoded, centred, resnet_config, transformer_config};
use crate::net::{ConvId, Layers, NormId, Plan};

/// UpBlock2D or CrossAttnUpBlock2D.
#[derive(Debug, Clone)]
struct UpBlock {
    /// Each resnet and the attention that follows it.
    layers: Vec<(Resnet, Option<SpatialTransformer>)>,
    /// The convolution after doubling that ends every block but the last.
    upsample: Option<ConvId>,
}

#[derive(Debug, Clone)]
pub(super) struct Decoder {
    up: Vec<UpBlock>,
    norm_out: NormId,
    conv_out: ConvId,
}

impl Decoder {
    /// Adds the layers to `plan`; `skips` are the channels of the encoder's skips.
    pub(super) fn plan(c: &UNetConfig, plan: &mut Plan, mut skips: Vec<usize>) -> Self {
        let n = c.channels.len();
        let mut width = c.channels[n - 1];
        let mut up = Vec::new();
        for index in 0..n {
            let block = n - 1 - index;
            let channels = c.channels[block];
            let name = format!("up_blocks.{index}");
            let mut layers = Vec::new();
            for layer in 0..=c.layers[block] {
                let joined = width + skips.pop().unwrap_or_default();
                let name_of = |kind: &str| format!("{name}.{kind}.{layer}");
                let resnet = Resnet::plan(plan, &name_of("resnets"), joined, channels, resnet_config(c));
                let attention = c.up_attends[index].then(|| {
                    let (depth, config) = (c.up_depth[index][layer], transformer_config(c, block));
                    SpatialTransformer::plan(plan, &name_of("attentions"), depth, config)
                });
                layers.push((resnet, attention));
                width = channels;
            }
            let upsample = (index + 1 < n).then(|| {
                plan.conv(
                    format!("{name}.upsamplers.0.conv"),
                    channels,
                    channels,
                    ConvParams::square(3, 1, 1),
                )
            });
            up.push(UpBlock { layers, upsample });
        }
        let norm_out = plan.group_norm("conv_norm_out", width, c.groups, c.eps);
        let conv_out = plan.conv("conv_out", width, c.out_channels, centred(c.conv_out_kernel));
        Self { up, norm_out, conv_out }
    }

    /// The prediction, `[N, h, w, out_channels]`.
    pub(super) fn forward<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        encoded: Encoded<B>,
        time: &Var<B>,
        context: &mut ContextCursor<'_, B>,
    ) -> Var<B> {
        let Encoded { mut skips, mid: mut x } = encoded;
        for UpBlock { layers, upsample } in &self.up {
            for (resnet, attention) in layers {
                if let Some(skip) = skips.pop() {
                    x = resnet.forward_joined(net, tape, &x, &skip, time);
                }
                if let Some(attention) = attention {
                    x = attention.forward(net, tape, &x, context);
                }
            }
            if let (Some(conv), Some(skip)) = (*upsample, skips.last()) {
                // To the size on the other side, which is not the double where an odd size was halved.
                let size = (skip.shape()[1], skip.shape()[2]);
                x = tape.checkpoint(&[&x], move |tape, v| {
                    let larger = tape.resize_nearest(&v[0], size);
                    net.conv(tape, conv, &larger, None, None)
                });
            }
        }
        let x = net.group_norm(tape, self.norm_out, &x, true);
        net.conv(tape, self.conv_out, &x, None, None)
    }

    /// All text attentions in the order of the forward pass.
    pub(super) fn transformers(&self) -> impl Iterator<Item = &SpatialTransformer> {
        let layers = self.up.iter().flat_map(|block| &block.layers);
        layers.filter_map(|(_, attention)| attention.as_ref())
    }
}
