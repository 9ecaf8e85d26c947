//! BERT (Devlin et al. 2019) as BLIP has it: no token types, norms after the sums, and after the attention
//! of each layer one to the patches of a picture.

use fairhuman_engine::{Activation, Backend, Linear, Norm, Params, Tape, Var, Weight, WeightLayout};

use crate::error::EvaluateError;
use crate::network::Reader;

/// Settings of the text network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BertConfig {
    pub vocabulary: usize,
    pub positions: usize,
    pub width: usize,
    pub inner: usize,
    pub layers: usize,
    pub heads: usize,
    pub eps: f32,
}

struct Attention<B: Backend> {
    q: Linear<B>,
    k: Linear<B>,
    v: Linear<B>,
    out: Linear<B>,
    norm: Norm<B>,
}

impl<B: Backend> Attention<B> {
    /// Reads the attention to states of a width.
    fn read(reader: &Reader<'_, B>, name: &str, c: &BertConfig, to: usize) -> Result<Self, EvaluateError> {
        let w = c.width;
        Ok(Self {
            q: reader.linear(&format!("{name}.self.query"), w, w, true)?,
            k: reader.linear(&format!("{name}.self.key"), to, w, true)?,
            v: reader.linear(&format!("{name}.self.value"), to, w, true)?,
            out: reader.linear(&format!("{name}.output.dense"), w, w, true)?,
            norm: reader.norm(&format!("{name}.output.LayerNorm"), w, c.eps)?,
        })
    }

    fn forward<'m>(&'m self, tape: &mut Tape<'m, B>, x: &Var<B>, to: &Var<B>, heads: usize) -> Var<B> {
        let q = tape.linear(x, &self.q, None);
        let k = tape.linear(to, &self.k, None);
        let v = tape.linear(to, &self.v, None);
        let h = tape.attention(&q, &k, &v, heads, false);
        let h = tape.linear(&h, &self.out, Some(x));
        tape.layer_norm(&h, &self.norm)
    }
}

struct Layer<B: Backend> {
    own: Attention<B>,
    cross: Attention<B>,
    fc1: Linear<B>,
    fc2: Linear<B>,
    norm: Norm<B>,
}

/// The text network.
pub(super) struct Bert<B: Backend> {
    config: BertConfig,
    words: Weight<B>,
    places: Weight<B>,
    norm: Norm<B>,
    layers: Vec<Layer<B>>,
}

/// Where its tensors are in the file.
const TOP: &str = "blip.text_encoder";

impl<B: Backend> Bert<B> {
    /// Reads the network, which looks at patches of this width.
    pub fn read(reader: &Reader<'_, B>, config: BertConfig, patches: usize) -> Result<Self, EvaluateError> {
        let c = &config;
        let table = |name: &str, rows: usize| {
            let name = format!("{TOP}.embeddings.{name}.weight");
            let weight = reader
                .files
                .get(&name, &[rows, c.width])
                .map_err(fairhuman_diffusion::net::ModelError::from)?;
            Ok::<_, EvaluateError>(Weight::Frozen(reader.backend.weight(&weight, WeightLayout::Table)))
        };
        let layer = |i: usize| {
            let name = format!("{TOP}.encoder.layer.{i}");
            Ok(Layer {
                own: Attention::read(reader, &format!("{name}.attention"), c, c.width)?,
                cross: Attention::read(reader, &format!("{name}.crossattention"), c, patches)?,
                fc1: reader.linear(&format!("{name}.intermediate.dense"), c.width, c.inner, true)?,
                fc2: reader.linear(&format!("{name}.output.dense"), c.inner, c.width, true)?,
                norm: reader.norm(&format!("{name}.output.LayerNorm"), c.width, c.eps)?,
            })
        };
        Ok(Self {
            words: table("word_embeddings", c.vocabulary)?,
            places: table("position_embeddings", c.positions)?,
            norm: reader.norm(&format!("{TOP}.embeddings.LayerNorm"), c.width, c.eps)?,
            layers: (0..c.layers).map(layer).collect::<Result<_, EvaluateError>>()?,
            config,
        })
    }

    /// The last state of the first token of a text that looks at patches `[1, P, width]`. Ids and positions
    /// beyond the tables' are cut off.
    pub fn first(&self, backend: &B, text: &[u32], patches: B::Tensor) -> Vec<f32> {
        let c = &self.config;
        let ids: Vec<u32> =
            text.iter().copied().filter(|id| (*id as usize) < c.vocabulary).take(c.positions).collect();
        let (params, n) = (Params::default(), ids.len());
        let mut tape = Tape::inference(backend, &params);
        let patches = Var::constant(patches);
        let places: Vec<u32> = (0..n as u32).collect();
        let words = tape.embedding(&ids, (1, n), c.vocabulary, &self.words);
        let places = tape.embedding(&places, (1, n), c.positions, &self.places);
        let x = tape.add(&words, &places);
        let mut x = tape.layer_norm(&x, &self.norm);
        for layer in &self.layers {
            let h = layer.own.forward(&mut tape, &x, &x, c.heads);
            let h = layer.cross.forward(&mut tape, &h, &patches, c.heads);
            let inner = tape.linear(&h, &layer.fc1, None);
            let inner = tape.activation(&inner, Activation::Gelu);
            let sum = tape.linear(&inner, &layer.fc2, Some(&h));
            x = tape.layer_norm(&sum, &layer.norm);
        }
        let first = tape.pick_token(&x, &[0]);
        backend.read(first.value())
    }
}
