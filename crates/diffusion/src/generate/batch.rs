//! A batch of pictures, as the functions of the sampling loop hand it on.

use fairhuman_engine::{Backend, Params};

use super::{Picture, Settings, initial_noise};
use crate::pipeline::Parts;

/// Pictures to be made, and what they are made with.
pub(super) struct Batch<'a, 'p, B: Backend> {
    pub backend: &'a B,
    pub parts: &'a Parts<'p, B>,
    pub params: &'a Params<B>,
    pub settings: &'a Settings,
    pub pictures: &'a [Picture],
}

impl<B: Backend> Clone for Batch<'_, '_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Batch<'_, '_, B> {}

impl<B: Backend> Batch<'_, '_, B> {
    /// The noise of all pictures behind each other, `length` values each.
    pub fn noise(&self, length: usize) -> Vec<f32> {
        let noise = |picture: &Picture| initial_noise(self.settings.seed, picture.index, length);
        self.pictures.iter().flat_map(noise).collect()
    }
}
