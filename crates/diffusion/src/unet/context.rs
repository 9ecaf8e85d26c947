//! The text that a U-Net attends to: embeddings, or the keys and values that the network computed from them.
//! These depend on neither latents nor time step, so sampling computes them once for all its steps.

use fairhuman_engine::{Backend, Var};

/// The text of a batch.
pub enum TextContext<B: Backend> {
    /// Embeddings, `[N, T, D]`; tracked where the text encoders are trained.
    Embeddings(Var<B>),
    /// Their cached keys and values, see [`super::UNet::cache_text`].
    Cached(TextKeyValues<B>),
}

/// Keys and values `[N, T, C]` of every block that attends to the text, in the order of the forward pass.
pub struct TextKeyValues<B: Backend> {
    pub(super) samples: usize,
    pub(super) blocks: Vec<Vec<Var<B>>>,
}

impl<B: Backend> Clone for TextKeyValues<B> {
    fn clone(&self) -> Self {
        Self { samples: self.samples, blocks: self.blocks.clone() }
    }
}

impl<B: Backend> From<Var<B>> for TextContext<B> {
    fn from(embeddings: Var<B>) -> Self {
        Self::Embeddings(embeddings)
    }
}

/// Gives each transformer block its part of the context, in the order of the forward pass.
pub(crate) struct ContextCursor<'a, B: Backend> {
    text: &'a TextContext<B>,
    block: usize,
}

impl<'a, B: Backend> ContextCursor<'a, B> {
    pub(crate) fn new(text: &'a TextContext<B>) -> Self {
        Self { text, block: 0 }
    }

    /// The embeddings, or the next block's keys and values.
    pub(super) fn next(&mut self) -> &'a [Var<B>] {
        self.block += 1;
        match self.text {
            TextContext::Embeddings(embeddings) => std::slice::from_ref(embeddings),
            TextContext::Cached(cached) => &cached.blocks[self.block - 1],
        }
    }
}
