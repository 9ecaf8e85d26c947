//! The layers that embed a control image: 3x3 convolutions with SiLU that bring it to the size of the
//! latents.

use fairhuman_engine::{Activation, Backend, ConvParams, Tape, Var};

use super::ControlNetConfig;
use crate::net::{ConvId, Layers, Plan};

/// ControlNetConditioningEmbedding.
#[derive(Debug, Clone)]
pub(super) struct HintStack {
    /// Each followed by SiLU.
    layers: Vec<ConvId>,
    /// Starts at zero.
    last: ConvId,
}

impl HintStack {
    pub(super) fn plan(c: &ControlNetConfig, plan: &mut Plan) -> Self {
        let name = |end: String| format!("controlnet_cond_embedding.{end}");
        let same = ConvParams::square(3, 1, 1);
        let mut layers = vec![plan.conv(name("conv_in".into()), c.hint_inputs, c.hint_channels[0], same)];
        for (i, pair) in c.hint_channels.windows(2).enumerate() {
            layers.push(plan.conv(name(format!("blocks.{}", 2 * i)), pair[0], pair[0], same));
            let halved = ConvParams::square(3, 2, 1);
            layers.push(plan.conv(name(format!("blocks.{}", 2 * i + 1)), pair[0], pair[1], halved));
        }
        let inner = c.hint_channels[c.hint_channels.len() - 1];
        let last = plan.zero_conv(name("conv_out".into()), inner, c.encoder.channels[0], same);
        Self { layers, last }
    }

    /// `[N, f h, f w, C] -> [N, h, w, channels]`. The first layers work at the picture's size, so each is a
    /// checkpoint.
    pub(super) fn forward<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        pixels: &Var<B>,
    ) -> Var<B> {
        let mut x = pixels.clone();
        for &layer in &self.layers {
            x = tape.checkpoint(&[&x], move |tape, v| {
                let h = net.conv(tape, layer, &v[0], None, None);
                tape.activation(&h, Activation::Silu)
            });
        }
        net.conv(tape, self.last, &x, None, None)
    }
}
