//! Encoder and decoder: stages of resnets, a middle with attention over all positions.

use fairhuman_engine::{Backend, ConvParams, Tape, Var};

use super::VaeConfig;
use crate::net::{ConvId, Layers, LinearId, NormId, Plan};
use crate::unet::blocks::{Resnet, ResnetConfig};
use crate::unet::downsample;

/// Every normalisation's constant; no configuration key sets it.
const EPS: f32 = 1e-6;

#[derive(Debug, Clone)]
pub(super) struct Structure {
    pub encoder: Coder,
    pub decoder: Coder,
    quant: Option<LinearId>,
    post_quant: Option<LinearId>,
}

/// One half of the autoencoder.
#[derive(Debug, Clone)]
pub(super) struct Coder {
    conv_in: ConvId,
    /// Before the middle in the encoder, after it in the decoder.
    stages: Vec<Block>,
    middle: Middle,
    norm_out: NormId,
    conv_out: ConvId,
    /// True for the decoder.
    up: bool,
}

#[derive(Debug, Clone)]
struct Block {
    resnets: Vec<Resnet>,
    resample: Option<ConvId>,
}

#[derive(Debug, Clone, Copy)]
struct Middle {
    first: Resnet,
    attention: Option<Attention>,
    last: Resnet,
}

#[derive(Debug, Clone, Copy)]
struct Attention {
    norm: NormId,
    q: LinearId,
    k: LinearId,
    v: LinearId,
    out: LinearId,
}

impl Structure {
    pub(super) fn new(c: &VaeConfig, plan: &mut Plan) -> Self {
        let moments = 2 * c.latent_channels;
        Self {
            encoder: Coder::encoder(c, plan, moments),
            decoder: Coder::decoder(c, plan),
            quant: c.quant_conv.then(|| plan.pointwise("quant_conv", moments, moments)),
            post_quant: c
                .post_quant_conv
                .then(|| plan.pointwise("post_quant_conv", c.latent_channels, c.latent_channels)),
        }
    }

    pub(super) fn quant<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: Var<B>,
    ) -> Var<B> {
        self.quant.map(|layer| net.linear(tape, layer, &x, None)).unwrap_or(x)
    }

    pub(super) fn post_quant<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
    ) -> Var<B> {
        self.post_quant.map_or_else(|| x.clone(), |layer| net.linear(tape, layer, x, None))
    }
}

fn same() -> ConvParams {
    ConvParams::square(3, 1, 1)
}

impl Coder {
    fn encoder(c: &VaeConfig, plan: &mut Plan, outputs: usize) -> Self {
        let shared = ResnetConfig { groups: c.groups, eps: EPS, time: None };
        let conv_in = plan.conv("encoder.conv_in", c.in_channels, c.channels[0], same());
        let mut width = c.channels[0];
        let mut stages = Vec::new();
        for (block, &channels) in c.channels.iter().enumerate() {
            let name = format!("encoder.down_blocks.{block}");
            let resnets = stage(plan, &name, c.layers, &mut width, channels, shared);
            let resample = (block + 1 < c.channels.len())
                .then(|| plan.conv(format!("{name}.downsamplers.0.conv"), channels, channels, downsample(0)));
            stages.push(Block { resnets, resample });
        }
        let middle = Middle::plan(plan, "encoder.mid_block", width, c.middle_attends, shared);
        let norm_out = plan.group_norm("encoder.conv_norm_out", width, c.groups, EPS);
        let conv_out = plan.conv("encoder.conv_out", width, outputs, same());
        Self { conv_in, stages, middle, norm_out, conv_out, up: false }
    }

    fn decoder(c: &VaeConfig, plan: &mut Plan) -> Self {
        let shared = ResnetConfig { groups: c.groups, eps: EPS, time: None };
        let n = c.channels.len();
        let mut width = c.channels[n - 1];
        let conv_in = plan.conv("decoder.conv_in", c.latent_channels, width, same());
        let middle = Middle::plan(plan, "decoder.mid_block", width, c.middle_attends, shared);
        let mut stages = Vec::new();
        for (block, &channels) in c.channels.iter().rev().enumerate() {
            let name = format!("decoder.up_blocks.{block}");
            let resnets = stage(plan, &name, c.layers + 1, &mut width, channels, shared);
            let resample = (block + 1 < n)
                .then(|| plan.conv(format!("{name}.upsamplers.0.conv"), channels, channels, same()));
            stages.push(Block { resnets, resample });
        }
        let norm_out = plan.group_norm("decoder.conv_norm_out", width, c.groups, EPS);
        let conv_out = plan.conv("decoder.conv_out", width, c.out_channels, same());
        Self { conv_in, stages, middle, norm_out, conv_out, up: true }
    }

    pub(super) fn forward<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
    ) -> Var<B> {
        let mut x = net.conv(tape, self.conv_in, x, None, None);
        if self.up {
            x = self.middle.forward(net, tape, x);
        }
        for Block { resnets, resample } in &self.stages {
            for resnet in resnets {
                x = resnet.forward(net, tape, &x, None);
            }
            if let Some(conv) = *resample {
                x = resampled(net, tape, &x, conv, self.up);
            }
        }
        if !self.up {
            x = self.middle.forward(net, tape, x);
        }
        let x = net.group_norm(tape, self.norm_out, &x, true);
        net.conv(tape, self.conv_out, &x, None, None)
    }
}

fn resampled<'m, B: Backend>(
    net: &'m Layers<B>,
    tape: &mut Tape<'m, B>,
    x: &Var<B>,
    conv: ConvId,
    up: bool,
) -> Var<B> {
    if !up {
        return net.conv(tape, conv, x, None, None);
    }
    let size = (2 * x.shape()[1], 2 * x.shape()[2]);
    tape.checkpoint(&[x], move |tape, v| {
        let larger = tape.resize_nearest(&v[0], size);
        net.conv(tape, conv, &larger, None, None)
    })
}

fn stage(
    plan: &mut Plan,
    name: &str,
    count: usize,
    width: &mut usize,
    channels: usize,
    shared: ResnetConfig,
) -> Vec<Resnet> {
    let resnet = |layer| {
        let inputs = std::mem::replace(width, channels);
        Resnet::plan(plan, &format!("{name}.resnets.{layer}"), inputs, channels, shared)
    };
    (0..count).map(resnet).collect()
}

impl Middle {
    fn plan(plan: &mut Plan, name: &str, width: usize, attends: bool, shared: ResnetConfig) -> Self {
        Self {
            first: Resnet::plan(plan, &format!("{name}.resnets.0"), width, width, shared),
            attention: attends.then(|| Attention::plan(plan, &format!("{name}.attentions.0"), width, shared)),
            last: Resnet::plan(plan, &format!("{name}.resnets.1"), width, width, shared),
        }
    }

    fn forward<'m, B: Backend>(self, net: &'m Layers<B>, tape: &mut Tape<'m, B>, x: Var<B>) -> Var<B> {
        let mut x = self.first.forward(net, tape, &x, None);
        if let Some(attention) = self.attention {
            x = tape.checkpoint(&[&x], move |tape, v| attention.forward(net, tape, &v[0]));
        }
        self.last.forward(net, tape, &x, None)
    }
}

impl Attention {
    fn plan(plan: &mut Plan, name: &str, width: usize, shared: ResnetConfig) -> Self {
        // Folders from before 2023 name the layers query, key, value and proj_attn.
        let mut layer = |new: &str, old: &str| {
            plan.linear_with_alias(format!("{name}.{new}"), format!("{name}.{old}"), width, width)
        };
        let (q, k, v) = (layer("to_q", "query"), layer("to_k", "key"), layer("to_v", "value"));
        let out = layer("to_out.0", "proj_attn");
        Self {
            norm: plan.group_norm(format!("{name}.group_norm"), width, shared.groups, shared.eps),
            q,
            k,
            v,
            out,
        }
    }

    /// One head over all positions, added to the input.
    fn forward<'m, B: Backend>(self, net: &'m Layers<B>, tape: &mut Tape<'m, B>, x: &Var<B>) -> Var<B> {
        let &[n, height, width, c] = x.shape() else { unreachable!("images have four dimensions") };
        let h = net.group_norm(tape, self.norm, x, false);
        let h = tape.reshape(&h, &[n, height * width, c]);
        let q = net.linear(tape, self.q, &h, None);
        let k = net.linear(tape, self.k, &h, None);
        let v = net.linear(tape, self.v, &h, None);
        let h = tape.attention(&q, &k, &v, 1, false);
        let h = tape.reshape(&h, &[n, height, width, c]);
        net.linear(tape, self.out, &h, Some(x))
    }
}
