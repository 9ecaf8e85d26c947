//! The vision transformer (Dosovitskiy et al. 2021) with the class token first and norms before attention and
//! feed-forward layers, as in CLIP, DINOv2 and BLIP. Names are those of transformers' CLIP; other layouts
//! give views of theirs.

use fairhuman_engine::{
    Activation, Backend, Linear, Norm, Params, Tape, Var, Weight, WeightData, WeightLayout,
};

use super::Reader;
use crate::error::EvaluateError;

/// Settings of a vision transformer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VitConfig {
    /// Width of the hidden states.
    pub width: usize,
    /// Width inside the feed-forward layers.
    pub inner: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Side of a picture in pixels.
    pub side: usize,
    /// Function of the feed-forward layers.
    pub activation: Activation,
    /// Added to variances.
    pub eps: f32,
    /// True if patches have a bias.
    pub patch_bias: bool,
    /// True if there is a norm before the first layer.
    pub norm_first: bool,
    /// True if the results of attention and feed-forward layers are scaled by channel (LayerScale).
    pub scaled: bool,
}

impl VitConfig {
    /// Tokens of a picture, the class token included.
    pub fn tokens(&self) -> usize {
        (self.side / self.patch).pow(2) + 1
    }

    /// Values of a patch.
    pub fn patch_values(&self) -> usize {
        3 * self.patch * self.patch
    }
}

/// A layer.
pub(crate) struct Block<B: Backend> {
    norm1: Norm<B>,
    q: Linear<B>,
    k: Linear<B>,
    v: Linear<B>,
    out: Linear<B>,
    norm2: Norm<B>,
    fc1: Linear<B>,
    fc2: Linear<B>,
}

impl<B: Backend> Block<B> {
    fn read(reader: &Reader<'_, B>, name: &str, c: &VitConfig) -> Result<Self, EvaluateError> {
        let w = c.width;
        let attention = |end: &str| reader.linear(&format!("{name}.self_attn.{end}"), w, w, true);
        let (out, fc2) = (format!("{name}.self_attn.out_proj"), format!("{name}.mlp.fc2"));
        let (out, fc2) = match c.scaled {
            false => (reader.linear(&out, w, w, true)?, reader.linear(&fc2, c.inner, w, true)?),
            true => {
                let scale = |which: &str| reader.values(&format!("{name}.{which}"), &[w]);
                (reader.scaled(&out, w, &scale("scale1")?)?, reader.scaled(&fc2, c.inner, &scale("scale2")?)?)
            }
        };
        Ok(Self {
            norm1: reader.norm(&format!("{name}.layer_norm1"), w, c.eps)?,
            q: attention("q_proj")?,
            k: attention("k_proj")?,
            v: attention("v_proj")?,
            out,
            norm2: reader.norm(&format!("{name}.layer_norm2"), w, c.eps)?,
            fc1: reader.linear(&format!("{name}.mlp.fc1"), w, c.inner, true)?,
            fc2,
        })
    }

    fn forward<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        x: &Var<B>,
        heads: usize,
        activation: Activation,
    ) -> Var<B> {
        let h = tape.layer_norm(x, &self.norm1);
        let q = tape.linear(&h, &self.q, None);
        let k = tape.linear(&h, &self.k, None);
        let v = tape.linear(&h, &self.v, None);
        let h = tape.attention(&q, &k, &v, heads, false);
        let x = tape.linear(&h, &self.out, Some(x));
        let h = tape.layer_norm(&x, &self.norm2);
        let h = tape.linear(&h, &self.fc1, None);
        let h = tape.activation(&h, activation);
        tape.linear(&h, &self.fc2, Some(&x))
    }
}

/// A vision transformer.
pub(crate) struct Vit<B: Backend> {
    config: VitConfig,
    patch: Linear<B>,
    /// `[tokens, width]`: positions with the class token and the patches' bias added.
    positions: Weight<B>,
    first: Option<Norm<B>>,
    blocks: Vec<Block<B>>,
    last: Norm<B>,
}

impl<B: Backend> Vit<B> {
    /// Reads the layers under `vision_model.`; `positions` are `[tokens, width]`.
    pub fn read(
        reader: &Reader<'_, B>,
        config: VitConfig,
        mut positions: Vec<f32>,
    ) -> Result<Self, EvaluateError> {
        let (c, top) = (&config, "vision_model");
        let class = reader.values(&format!("{top}.embeddings.class_embedding"), &[c.width])?;
        let patch =
            reader.linear(&format!("{top}.embeddings.patch_embedding"), c.patch_values(), c.width, false)?;
        // The class token's place in the patches is all zeros, so that only here something is added to it.
        let add = |row: &mut [f32], more: &[f32]| row.iter_mut().zip(more).for_each(|(v, m)| *v += m);
        add(&mut positions[..c.width], &class);
        if c.patch_bias {
            let bias = reader.values(&format!("{top}.embeddings.patch_embedding.bias"), &[c.width])?;
            positions[c.width..].chunks_exact_mut(c.width).for_each(|row| add(row, &bias));
        }
        let positions = WeightData::from_f32(&[c.tokens(), c.width], &positions);
        let first = match c.norm_first {
            true => Some(reader.norm(&format!("{top}.pre_layrnorm"), c.width, c.eps)?),
            false => None,
        };
        let block = |layer: usize| Block::read(reader, &format!("{top}.encoder.layers.{layer}"), c);
        Ok(Self {
            patch,
            positions: Weight::Frozen(reader.backend.weight(&positions, WeightLayout::Table)),
            first,
            blocks: (0..c.layers).map(block).collect::<Result<_, _>>()?,
            last: reader.norm(&format!("{top}.post_layernorm"), c.width, c.eps)?,
            config,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// The hidden states `[N, tokens, width]` after the last layer, not normalised, of normalised pictures,
    /// each `[3, side, side]`.
    pub fn forward<'m>(&'m self, tape: &mut Tape<'m, B>, pictures: &[Vec<f32>]) -> Var<B> {
        let c = &self.config;
        let (n, tokens) = (pictures.len(), c.tokens());
        let values: Vec<f32> = pictures.iter().flat_map(|picture| self.patches(picture)).collect();
        let x = Var::constant(tape.backend().tensor(&[n, tokens, c.patch_values()], &values));
        let x = tape.linear(&x, &self.patch, None);
        let places: Vec<u32> = (0..n).flat_map(|_| 0..tokens as u32).collect();
        let places = tape.embedding(&places, (n, tokens), tokens, &self.positions);
        let mut x = tape.add(&x, &places);
        if let Some(norm) = &self.first {
            x = tape.layer_norm(&x, norm);
        }
        for block in &self.blocks {
            x = block.forward(tape, &x, c.heads, c.activation);
        }
        x
    }

    /// The class token after the last norm, `[N, width]`.
    pub fn class<'m>(&'m self, tape: &mut Tape<'m, B>, states: &Var<B>) -> Var<B> {
        let first = vec![0; states.shape()[0]];
        let class = tape.pick_token(states, &first);
        tape.layer_norm(&class, &self.last)
    }

    /// All tokens after the last norm.
    pub fn normed<'m>(&'m self, tape: &mut Tape<'m, B>, states: &Var<B>) -> Var<B> {
        tape.layer_norm(states, &self.last)
    }

    /// Zeros for the class token, then the values of each patch in the order of a filter's.
    fn patches(&self, picture: &[f32]) -> Vec<f32> {
        let (side, patch) = (self.config.side, self.config.patch);
        let mut values = vec![0.0; self.config.patch_values()];
        let grid = side / patch;
        for (row, column) in (0..grid * grid).map(|i| (i / grid, i % grid)) {
            for (channel, y) in (0..3 * patch).map(|i| (i / patch, i % patch)) {
                let start = (channel * side + row * patch + y) * side + column * patch;
                values.extend_from_slice(&picture[start..start + patch]);
            }
        }
        values
    }
}

/// The class token's state of pictures, `[N][width]`, computed without a tape that keeps anything.
impl<B: Backend> Vit<B> {
    pub fn class_tokens(&self, backend: &B, pictures: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let params = Params::default();
        backend.scope(|| {
            let mut tape = Tape::inference(backend, &params);
            let states = self.forward(&mut tape, pictures);
            let class = self.class(&mut tape, &states);
            backend.read(class.value()).chunks_exact(self.config.width).map(<[f32]>::to_vec).collect()
        })
    }
}

/// Names of a layer's tensors in transformers' CLIP beside those of another layout, `(ours, theirs)` without
/// the layer's own prefix; q, k and v apart.
pub(crate) fn split_names(
    norms: [&str; 2],
    attention: [&str; 4],
    feed_forward: [&str; 2],
) -> Vec<(String, String)> {
    let modules = [
        ("layer_norm1", norms[0]),
        ("self_attn.q_proj", attention[0]),
        ("self_attn.k_proj", attention[1]),
        ("self_attn.v_proj", attention[2]),
        ("self_attn.out_proj", attention[3]),
        ("layer_norm2", norms[1]),
        ("mlp.fc1", feed_forward[0]),
        ("mlp.fc2", feed_forward[1]),
    ];
    let both = |(ours, theirs): (&str, &str)| {
        ["weight", "bias"].map(|end| (format!("{ours}.{end}"), format!("{theirs}.{end}")))
    };
    modules.into_iter().flat_map(both).collect()
}
