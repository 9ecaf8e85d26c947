//! The seam between a dataset and a training method: how one picture becomes one sample. A [`Reader`] does
//! all that needs no device, so that the next step's pictures can be read while a step is computed; a
//! [`Source`] does the rest.

use std::sync::Arc;

use fairhuman_dataset::{Dataset, Draw, Sample, Wanted};
use fairhuman_engine::Backend;

use super::DataError;
use crate::batch::{Batch, Inputs};

/// Reads pictures for a training method. The result depends on its arguments and files alone.
pub trait Reader: Send + Sync + 'static {
    /// A picture that has been read.
    type Read: Send + 'static;

    /// Pixels per cell of the masks, in one direction.
    fn mask_cell(&self) -> usize;

    /// The parts of a sample that are decoded: masks, pixels (unless latents may come from the cache),
    /// control images.
    fn wanted(&self) -> Wanted;

    /// Reads one picture.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit.
    fn read(&self, picture: &Picture<'_>, key: DrawKey) -> Result<Self::Read, DataError>;
}

/// Makes a training method's samples from pictures that have been read.
pub trait Source<B: Backend> {
    /// The method's own inputs.
    type Inputs: Inputs;

    /// The part that needs no device.
    type Reader: Reader;

    /// The reader of its pictures.
    fn reader(&self) -> &Arc<Self::Reader>;

    /// Number of draws of a held-out picture, where the recipe says `draws`.
    fn validation_draws(&self, draws: usize) -> usize {
        draws
    }

    /// Other inputs that held-out losses are computed with, for comparison.
    fn variants(&self) -> &'static [Variant] {
        &[]
    }

    /// One picture as a batch of one sample, without masks and names: [`super::Data`] adds them. Held-out
    /// pictures have the mean of their latents, and weight 1.
    ///
    /// # Errors
    /// Files of the model that cannot be read or do not fit, a cache that cannot be written.
    fn sample(
        &mut self,
        backend: &B,
        read: <Self::Reader as Reader>::Read,
    ) -> Result<Batch<Self::Inputs>, DataError>;

    /// The number of damaged cache entries that were made anew since this was last asked.
    fn take_damaged(&self) -> usize {
        0
    }

    /// Captions of which the end is cut off.
    fn truncated_captions(&self, _dataset: &Dataset) -> usize {
        0
    }
}

/// Inputs of held-out pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As in training.
    Plain,
    /// With the control image of another held-out picture.
    Shuffled,
    /// Without the control network.
    Uncontrolled,
}

impl Variant {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Shuffled => "shuffled control",
            Self::Uncontrolled => "no control",
        }
    }
}

/// A loaded picture.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// The dataset that it is from.
    pub dataset: &'a Dataset,
    /// Its index there.
    pub index: usize,
    /// Its geometry.
    pub draw: &'a Draw,
    /// The caption, and the parts that [`Reader::wanted`] names.
    pub sample: &'a Sample,
}

/// Where in a run a picture is used: the key of its random numbers.
#[derive(Debug, Clone, Copy)]
pub enum DrawKey {
    /// In a training step.
    Step {
        /// The step, from 1.
        step: u64,
        /// The sample's number in the step.
        slot: u64,
    },
    /// For validation.
    HeldOut {
        /// The seed of its noise.
        seed: u64,
        /// Position among the held-out pictures.
        position: usize,
        /// Number of held-out pictures.
        of: usize,
        /// Which draw, of how many.
        draw: (usize, usize),
        /// The inputs that the network is given.
        variant: Variant,
        /// Index of the held-out picture that comes next, after the last one the first.
        next: usize,
    },
}
