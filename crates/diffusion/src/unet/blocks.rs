//! The blocks of the U-Net: residual blocks with time, spatial transformers, and how they are planned.

use fairhuman_engine::{Backend, ConvParams, Tape, Var};

use super::context::ContextCursor;
use crate::net::{ConvId, Layers, LinearId, NormId, Plan};

/// ResnetBlock2D: twice normalisation, SiLU and a 3x3 convolution, with the time added between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resnet {
    norm1: NormId,
    conv1: ConvId,
    time: Option<LinearId>,
    norm2: NormId,
    conv2: ConvId,
    shortcut: Option<LinearId>,
}

/// Constants that all blocks of a network share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResnetConfig {
    pub groups: usize,
    pub eps: f32,
    /// Width of the time embedding, where resnets have one.
    pub time: Option<usize>,
}

impl Resnet {
    pub(crate) fn plan(
        plan: &mut Plan,
        name: &str,
        inputs: usize,
        outputs: usize,
        shared: ResnetConfig,
    ) -> Self {
        let ResnetConfig { groups, eps, time } = shared;
        let same = ConvParams::square(3, 1, 1);
        Self {
            norm1: plan.group_norm(format!("{name}.norm1"), inputs, groups, eps),
            conv1: plan.conv(format!("{name}.conv1"), inputs, outputs, same),
            time: time.map(|width| plan.linear(format!("{name}.time_emb_proj"), width, outputs, true)),
            norm2: plan.group_norm(format!("{name}.norm2"), outputs, groups, eps),
            conv2: plan.conv(format!("{name}.conv2"), outputs, outputs, same),
            shortcut: (inputs != outputs)
                .then(|| plan.pointwise(format!("{name}.conv_shortcut"), inputs, outputs)),
        }
    }

    /// `x [N, H, W, I] -> [N, H, W, O]`; `time [N, T]` is the embedding after its SiLU. One checkpoint.
    pub(crate) fn forward<'m, B: Backend>(
        self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
        time: Option<&Var<B>>,
    ) -> Var<B> {
        let inputs: Vec<&Var<B>> = [x].into_iter().chain(time).collect();
        tape.checkpoint(&inputs, move |tape, v| self.body(net, tape, &v[0], v.get(1)))
    }

    /// The same for `x` and `skip` side by side; the concatenation is recomputed, not kept.
    pub(crate) fn forward_joined<'m, B: Backend>(
        self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
        skip: &Var<B>,
        time: &Var<B>,
    ) -> Var<B> {
        tape.checkpoint(&[x, skip, time], move |tape, v| {
            let joined = tape.concat(&v[0], &v[1]);
            self.body(net, tape, &joined, Some(&v[2]))
        })
    }

    fn body<'m, B: Backend>(
        self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
        time: Option<&Var<B>>,
    ) -> Var<B> {
        let h = net.group_norm(tape, self.norm1, x, true);
        let shift = self.time.zip(time).map(|(layer, time)| net.linear(tape, layer, time, None));
        let h = net.conv(tape, self.conv1, &h, shift.as_ref(), None);
        let h = net.group_norm(tape, self.norm2, &h, true);
        let shortcut = self.shortcut.map(|layer| net.linear(tape, layer, x, None));
        net.conv(tape, self.conv2, &h, None, Some(shortcut.as_ref().unwrap_or(x)))
    }
}

/// Transformer2DModel: an image's positions as tokens through transformer blocks, added to the image.
#[derive(Debug, Clone)]
pub(crate) struct SpatialTransformer {
    norm: NormId,
    proj_in: LinearId,
    blocks: Vec<TransformerBlock>,
    proj_out: LinearId,
}

/// Settings of a spatial transformer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransformerConfig {
    pub channels: usize,
    pub heads: usize,
    pub cross: usize,
    pub only_cross: bool,
    pub linear_projection: bool,
    pub groups: usize,
}

impl SpatialTransformer {
    pub(crate) fn plan(plan: &mut Plan, name: &str, depth: usize, a: TransformerConfig) -> Self {
        let c = a.channels;
        let projection = |plan: &mut Plan, end: &str| {
            let name = format!("{name}.{end}");
            if a.linear_projection { plan.linear(name, c, c, true) } else { plan.pointwise(name, c, c) }
        };
        // Its own constant, whatever norm_eps is.
        let norm = plan.group_norm(format!("{name}.norm"), c, a.groups, 1e-6);
        let proj_in = projection(plan, "proj_in");
        let block = |i| TransformerBlock::plan(plan, &format!("{name}.transformer_blocks.{i}"), a);
        let blocks = (0..depth).map(block).collect();
        Self { norm, proj_in, blocks, proj_out: projection(plan, "proj_out") }
    }

    /// `x [N, H, W, C]`; `context` gives each block its keys and values or the embeddings. Each transformer
    /// block is one checkpoint.
    pub(super) fn forward<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
        context: &mut ContextCursor<'_, B>,
    ) -> Var<B> {
        let &[n, h, w, c] = x.shape() else { unreachable!("images have four dimensions") };
        let tokens = net.group_norm(tape, self.norm, x, false);
        let tokens = tape.reshape(&tokens, &[n, h * w, c]);
        let mut tokens = net.linear(tape, self.proj_in, &tokens, None);
        for &block in &self.blocks {
            let inputs: Vec<&Var<B>> = [&tokens].into_iter().chain(context.next()).collect();
            tokens = tape.checkpoint(&inputs, move |tape, v| block.body(net, tape, &v[0], &v[1..]));
        }
        let image = tape.reshape(&tokens, &[n, h, w, c]);
        net.linear(tape, self.proj_out, &image, Some(x))
    }

    /// The attentions to the text of each block.
    pub(super) fn text_attentions(&self) -> impl Iterator<Item = Vec<Attention>> {
        self.blocks.iter().map(|block| match block.only_cross {
            true => vec![block.attn1, block.attn2],
            false => vec![block.attn2],
        })
    }
}

/// BasicTransformerBlock: attention among the tokens, attention to the text, a gated feed-forward layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransformerBlock {
    norm1: NormId,
    attn1: Attention,
    norm2: NormId,
    attn2: Attention,
    norm3: NormId,
    ff_in: LinearId,
    ff_out: LinearId,
    only_cross: bool,
}

impl TransformerBlock {
    fn plan(plan: &mut Plan, name: &str, a: TransformerConfig) -> Self {
        let c = a.channels;
        let first = if a.only_cross { a.cross } else { c };
        Self {
            norm1: plan.layer_norm(format!("{name}.norm1"), c, 1e-5),
            attn1: Attention::plan(plan, &format!("{name}.attn1"), c, first, a.heads),
            norm2: plan.layer_norm(format!("{name}.norm2"), c, 1e-5),
            attn2: Attention::plan(plan, &format!("{name}.attn2"), c, a.cross, a.heads),
            norm3: plan.layer_norm(format!("{name}.norm3"), c, 1e-5),
            ff_in: plan.linear(format!("{name}.ff.net.0.proj"), c, 8 * c, true),
            ff_out: plan.linear(format!("{name}.ff.net.2"), 4 * c, c, true),
            only_cross: a.only_cross,
        }
    }

    fn body<'m, B: Backend>(
        self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
        text: &[Var<B>],
    ) -> Var<B> {
        // The text's embeddings, or the keys and values that the block's attentions made of them before.
        let (first, last) = match text.len() {
            1 => (text, text),
            pairs => (&text[..2], &text[pairs - 2..]),
        };
        let h = net.layer_norm(tape, self.norm1, x);
        let context = if self.only_cross { first } else { std::slice::from_ref(&h) };
        let x = self.attn1.forward(net, tape, &h, context, x);
        let h = net.layer_norm(tape, self.norm2, &x);
        let x = self.attn2.forward(net, tape, &h, last, &x);
        let h = net.layer_norm(tape, self.norm3, &x);
        let h = net.linear(tape, self.ff_in, &h, None);
        let h = tape.geglu(&h);
        net.linear(tape, self.ff_out, &h, Some(&x))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    q: LinearId,
    k: LinearId,
    v: LinearId,
    out: LinearId,
    heads: usize,
}

impl Attention {
    fn plan(plan: &mut Plan, name: &str, width: usize, context: usize, heads: usize) -> Self {
        Self {
            q: plan.linear(format!("{name}.to_q"), width, width, false),
            k: plan.linear(format!("{name}.to_k"), context, width, false),
            v: plan.linear(format!("{name}.to_v"), context, width, false),
            out: plan.linear(format!("{name}.to_out.0"), width, width, true),
            heads,
        }
    }

    /// `context` is what is attended to, or its keys and values.
    fn forward<'m, B: Backend>(
        self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
        context: &[Var<B>],
        residual: &Var<B>,
    ) -> Var<B> {
        let q = net.linear(tape, self.q, x, None);
        let [k, v] = match context {
            [k, v] => [k.clone(), v.clone()],
            _ => self.key_value(net, tape, &context[0]),
        };
        let h = tape.attention(&q, &k, &v, self.heads, false);
        net.linear(tape, self.out, &h, Some(residual))
    }

    /// Keys and values of a context.
    pub(super) fn key_value<'m, B: Backend>(
        self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        context: &Var<B>,
    ) -> [Var<B>; 2] {
        [self.k, self.v].map(|layer| net.linear(tape, layer, context, None))
    }
}
