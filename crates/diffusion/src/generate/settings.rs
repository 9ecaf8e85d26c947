//! Settings, prompts, pictures and errors of sampling.

use fairhuman_engine::OutOfMemory;

use std::path::Path;

use crate::config_check::ConfigError;
use crate::net::ModelError;
use crate::sampler::{Sampler, SamplerError};
use crate::weights::WeightFiles;

/// Pixels of a picture's side at most.
pub const MAX_SIDE: usize = 16_384;

/// Settings of all pictures of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The sampling method.
    pub sampler: Sampler,
    /// Number of its steps.
    pub steps: usize,
    /// Scale g of classifier-free guidance (Ho and Salimans 2022): p = p_negative + g (p_prompt -
    /// p_negative). At 1 or less the negative prompt is not looked at, as in diffusers.
    pub guidance: f64,
    /// Share, from 0 to 1, in which the guided prediction is given the standard deviation of the one with
    /// prompt (Lin et al. 2024, equations 15 and 16): 0 leaves it as it is, 0.7 suits models that were
    /// trained down to pure noise.
    pub guidance_rescale: f64,
    /// Width in pixels, a multiple of the autoencoder's reduction (8), up to [`MAX_SIDE`].
    pub width: usize,
    /// Height in pixels, likewise.
    pub height: usize,
    /// Decides the noise, together with each picture's index.
    pub seed: u64,
}

impl Settings {
    /// Fails if guidance is of no size or is rescaled by no share.
    pub(super) fn check_guidance(&self) -> Result<(), GenerateError> {
        if !self.guidance.is_finite() {
            return Err(GenerateError::Guidance(self.guidance));
        }
        if !(0.0..=1.0).contains(&self.guidance_rescale) {
            return Err(GenerateError::GuidanceRescale(self.guidance_rescale));
        }
        Ok(())
    }
}

/// A picture to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Prompt.
    pub prompt: String,
    /// Negative prompt. None: the model's own unconditional input (zeros for SDXL base, the empty text else).
    pub negative: Option<String>,
    /// Decides the noise, together with the seed.
    pub index: u64,
}

/// A finished picture: 8 bits, three channels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

/// Progress of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Evaluations of the network that are done.
    pub done: usize,
    /// Evaluations in all.
    pub of: usize,
}

/// Why there are no pictures.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A part of the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The scheduler's settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sampler.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// Memory that cannot be had.
    #[error("{0}; fewer pictures at a time, or smaller ones, need less")]
    Memory(#[from] OutOfMemory),
    /// A size that has no latents.
    #[error(
        "{width}x{height} pixels: expected sides that are multiples of {multiple}, such as {}x{}",
        rounded(*width, *multiple),
        rounded(*height, *multiple)
    )]
    Size {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
        /// Sides must be multiples of this.
        multiple: usize,
    },
    /// A size that nothing here is made for.
    #[error("{width}x{height} pixels: expected sides of at most {MAX_SIDE}")]
    TooLarge {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
    },
    /// A model that was made for inpainting, without a mask.
    #[error("this model was made for inpainting: it needs a picture and a mask (--init and --mask)")]
    NeedsMask,
    /// A guidance scale that is not a number.
    #[error("guidance {0}: expected a finite number")]
    Guidance(f64),
    /// A share of rescaling that is none.
    #[error("guidance rescale {0}: expected a number from 0 to 1")]
    GuidanceRescale(f64),
    /// Infinite numbers or NaN.
    #[error(
        "picture {index}: {what} gives numbers that are not finite; are the weights of the model, of a LoRA or of a control network damaged, or is a LoRA's weight too large?"
    )]
    NotFinite {
        /// The picture's index.
        index: u64,
        /// The network that gave them.
        what: String,
    },
}

fn rounded(side: usize, multiple: usize) -> usize {
    (side.saturating_add(multiple / 2) / multiple).max(1) * multiple
}

/// Fails with the index of the first of `pictures` whose part of `values` is not finite, or the weight in the
/// network's `folder` that is not.
pub(super) fn check_finite(
    pictures: &[Picture],
    values: &[f32],
    folder: &Path,
    what: impl Fn() -> String,
) -> Result<(), GenerateError> {
    let each = (values.len() / pictures.len().max(1)).max(1);
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => match WeightFiles::open(folder).ok().and_then(|files| files.find_not_finite()) {
            Some(damaged) => Err(ModelError::from(damaged).into()),
            None => Err(GenerateError::NotFinite { index: pictures[i / each].index, what: what() }),
        },
    }
}
