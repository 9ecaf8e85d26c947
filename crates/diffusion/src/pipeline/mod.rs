//! A whole model folder in diffusers' layout: which family it is, where its parts lie, and all of them
//! loaded.

mod check;
mod copy;
mod folder;
mod text;

use std::path::Path;

use fairhuman_engine::Backend;

pub use copy::{copy_model, copy_model_new};
pub use folder::{Family, ModelFolder};
pub use text::{TextEmbeddings, TextEncoders};

use crate::generate::Guide;
use crate::net::{ModelError, Trainable};
use crate::schedule::NoiseSchedule;
use crate::unet::UNet;
use crate::vae::AutoencoderKl;

/// Every part of a Stable Diffusion model that computes something, with frozen weights.
pub struct Pipeline<B: Backend> {
    /// The model folder and its index.
    pub folder: ModelFolder,
    /// Tokenizers and text encoders.
    pub text: TextEncoders<B>,
    /// The denoising network.
    pub unet: UNet<B>,
    /// Pictures to latents and back.
    pub vae: AutoencoderKl<B>,
    /// Noise levels.
    pub schedule: NoiseSchedule,
}

/// The parts that make pictures: of a [`Pipeline`], or some of them in training.
pub struct Parts<'a, B: Backend> {
    /// The model folder and its index.
    pub folder: &'a ModelFolder,
    /// Tokenizers and text encoders.
    pub text: &'a TextEncoders<B>,
    /// The denoising network.
    pub unet: &'a UNet<B>,
    /// Pictures to latents and back.
    pub vae: &'a AutoencoderKl<B>,
    /// Noise levels.
    pub schedule: &'a NoiseSchedule,
    /// Control networks; none by default.
    pub guides: &'a [Guide<'a, B>],
}

impl<B: Backend> Pipeline<B> {
    /// All parts.
    pub fn parts(&self) -> Parts<'_, B> {
        let Self { folder, text, unet, vae, schedule } = self;
        Parts { folder, text, unet, vae, schedule, guides: &[] }
    }

    /// Reads `model_index.json` and all components of `folder`.
    ///
    /// # Errors
    /// Errors of the parts, and parts that do not fit each other.
    pub fn open(backend: &B, folder: &Path) -> Result<Self, ModelError> {
        let folder = ModelFolder::open(folder)?;
        let text = TextEncoders::load(backend.exact(), &folder)?;
        let unet = UNet::load(backend, &folder.unet(), Trainable::None)?;
        folder.check_text(unet.config(), text.width(), text.pooled_width())?;
        let vae = AutoencoderKl::load(backend.exact(), &folder.vae(), Trainable::None)?;
        folder.check_sampled_latents(unet.config(), vae.config())?;
        let schedule = NoiseSchedule::read(&folder.schedule())?;
        Ok(Self { folder, text, unet, vae, schedule })
    }
}
