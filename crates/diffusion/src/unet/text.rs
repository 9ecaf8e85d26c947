//! The text that a U-Net looks at: its embeddings, or the keys and values that the network makes of them. These depend on
//! neither latents nor time, so that sampling makes them once for all its steps.

use fairhuman_engine::{Backend, Params, Tape, Var};

use super::UNet;
use crate::net::ModelError;

/// The text of a batch.
pub enum Text<B: Backend> {
    /// Embeddings, `[N, T, D]`; tracked where the text encoders are trained.
    Embedded(Var<B>),
    /// What [`UNet::read_text`] made of them.
    Read(Keys<B>),
}

/// Keys and values `[N, T, C]` of every block that attends to the text, in the order of the forward pass.
pub struct Keys<B: Backend> {
    samples: usize,
    blocks: Vec<Vec<Var<B>>>,
}

impl<B: Backend> Clone for Keys<B> {
    fn clone(&self) -> Self {
        Self { samples: self.samples, blocks: self.blocks.clone() }
    }
}

impl<B: Backend> From<Var<B>> for Text<B> {
    fn from(embeddings: Var<B>) -> Self {
        Self::Embedded(embeddings)
    }
}

impl<B: Backend> UNet<B> {
    /// Keys and values of embeddings `[N, T, D]`, with the network's LoRAs as `params` has them; constants, for passes
    /// without gradients.
    ///
    /// # Errors
    /// Embeddings of another width.
    pub fn read_text(
        &self,
        backend: &B,
        params: &Params<B>,
        embeddings: &B::Tensor,
    ) -> Result<Keys<B>, ModelError> {
        let samples = B::shape(embeddings).first().copied().unwrap_or_default();
        self.check_text(B::shape(embeddings), samples)?;
        let text = Var::constant(embeddings.clone());
        let read = |attention: super::blocks::Attention| {
            let mut tape = Tape::inference(backend, params);
            attention.read(&self.layers, &mut tape, &text).map(|var| Var::constant(var.value().clone()))
        };
        let blocks = self.structure.transformers().flat_map(|transformer| transformer.to_text());
        let blocks = blocks.map(|attentions| attentions.into_iter().flat_map(read).collect()).collect();
        Ok(Keys { samples, blocks })
    }

    /// Checks that the text belongs to this network and to `n` samples.
    pub(super) fn check_words(&self, text: &Text<B>, n: usize) -> Result<(), ModelError> {
        match text {
            Text::Embedded(embeddings) => self.check_text(embeddings.shape(), n),
            Text::Read(keys) => {
                let expected = self.structure.transformers().map(|t| t.to_text().count()).sum::<usize>();
                if keys.samples == n && keys.blocks.len() == expected {
                    return Ok(());
                }
                let found = [keys.samples, keys.blocks.len()];
                let expected = format!("[{n}, {expected}], samples and blocks");
                Err(ModelError::shape(super::MODEL, "text that was read", &found, &expected))
            }
        }
    }

    fn check_text(&self, shape: &[usize], n: usize) -> Result<(), ModelError> {
        let width = self.config.text_width;
        if matches!(*shape, [batch, tokens, d] if batch == n && tokens > 0 && d == width) {
            return Ok(());
        }
        let expected = format!("[{n}, T, {width}] (the text encoders of another model?)");
        Err(ModelError::shape(super::MODEL, "text", shape, &expected))
    }
}

/// Hands out what each block sees, in the order of the forward pass.
pub(super) struct Words<'a, B: Backend> {
    text: &'a Text<B>,
    block: usize,
}

impl<'a, B: Backend> Words<'a, B> {
    pub(super) fn new(text: &'a Text<B>) -> Self {
        Self { text, block: 0 }
    }

    /// The embeddings, or the next block's keys and values.
    pub(super) fn next(&mut self) -> &'a [Var<B>] {
        self.block += 1;
        match self.text {
            Text::Embedded(embeddings) => std::slice::from_ref(embeddings),
            Text::Read(keys) => &keys.blocks[self.block - 1],
        }
    }
}
