//! Filling the key/value cache of a network's text attentions, and checking that a context belongs to a
//! network.

use fairhuman_engine::{Backend, Params, Tape, Var};

use super::blocks::{Attention, SpatialTransformer};
use super::context::{TextContext, TextKeyValues};
use crate::net::{Layers, ModelError};

/// The text attentions of a network: its name for messages, its layers, and the width of the embeddings it
/// reads.
pub(crate) struct TextAttentions<'a, B: Backend> {
    pub model: &'static str,
    pub layers: &'a Layers<B>,
    /// In the order of the forward pass.
    pub transformers: Vec<&'a SpatialTransformer>,
    pub width: usize,
}

impl<B: Backend> TextAttentions<'_, B> {
    /// Keys and values of embeddings `[N, T, D]`, as constants.
    pub(crate) fn cache(
        &self,
        backend: &B,
        params: &Params<B>,
        embeddings: &B::Tensor,
    ) -> Result<TextKeyValues<B>, ModelError> {
        let samples = B::shape(embeddings).first().copied().unwrap_or_default();
        self.check_embeddings(B::shape(embeddings), samples)?;
        let text = Var::constant(embeddings.clone());
        let key_value = |attention: Attention| {
            let mut tape = Tape::inference(backend, params);
            let pair = attention.key_value(self.layers, &mut tape, &text);
            pair.map(|var| Var::constant(var.value().clone()))
        };
        let blocks = self.transformers.iter().flat_map(|transformer| transformer.text_attentions());
        let blocks = blocks.map(|attentions| attentions.into_iter().flat_map(key_value).collect()).collect();
        Ok(TextKeyValues { samples, blocks })
    }

    /// Checks that the context was made for this network and for `n` samples.
    pub(crate) fn check(&self, text: &TextContext<B>, n: usize) -> Result<(), ModelError> {
        match text {
            TextContext::Embeddings(embeddings) => self.check_embeddings(embeddings.shape(), n),
            TextContext::Cached(cached) => {
                let expected: usize = self.transformers.iter().map(|t| t.text_attentions().count()).sum();
                if cached.samples == n && cached.blocks.len() == expected {
                    return Ok(());
                }
                let found = [cached.samples, cached.blocks.len()];
                let expected = format!("[{n}, {expected}], samples and blocks");
                Err(ModelError::shape(self.model, "text that was read", &found, &expected))
            }
        }
    }

    fn check_embeddings(&self, shape: &[usize], n: usize) -> Result<(), ModelError> {
        let width = self.width;
        if matches!(*shape, [batch, tokens, d] if batch == n && tokens > 0 && d == width) {
            return Ok(());
        }
        let expected = format!("[{n}, T, {width}] (the text encoders of another model?)");
        Err(ModelError::shape(self.model, "text", shape, &expected))
    }
}
