//! Samples for the autoencoder: the pictures themselves.

use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::vae::VaeConfig;

use super::{DataError, Picture, When};
use crate::batch::Batch;
use crate::random::{Purpose, normal, stream};
use crate::recipe::Recipe;

/// What an autoencoder's inputs depend on.
pub(super) struct Autoencoding {
    seed: u64,
    config: VaeConfig,
}

impl Autoencoding {
    pub fn open(recipe: &Recipe) -> Result<Self, DataError> {
        let model = ModelFolder::open(&recipe.model.path)?;
        let config = VaeConfig::open(&model.vae().join("config.json"))?;
        if (config.in_channels, config.out_channels) != (3, 3) {
            let found = format!("{} and {}", config.in_channels, config.out_channels);
            let text = format!("expected an autoencoder of RGB pictures, found one with {found} channels");
            return Err(DataError::Problem(text));
        }
        recipe.geometry.check(config.reduction())?;
        Ok(Self { seed: recipe.seed, config })
    }

    /// Pixels per latent cell, in one direction.
    pub fn reduction(&self) -> usize {
        self.config.reduction()
    }

    /// A batch of one picture, without masks. Held-out pictures go through the mean of their latents.
    pub fn batch(&self, picture: &Picture<'_>, when: When) -> Batch {
        let sample = picture.sample;
        let cells = (sample.height / self.reduction()) * (sample.width / self.reduction());
        let noisy = match when {
            When::Step { step, slot } => {
                let mut rng = stream(self.seed, Purpose::Posterior, step, slot);
                normal(&mut rng, cells * self.config.latent_channels)
            }
            When::HeldOut { .. } => Vec::new(),
        };
        Batch {
            size: 1,
            height: sample.height,
            width: sample.width,
            channels: 3,
            noisy,
            target: sample.image.clone(),
            timesteps: vec![0],
            texts: Vec::new(),
            prompt: Vec::new(),
            tokens: 0,
            pooled: Vec::new(),
            time_ids: Vec::new(),
            masks: Vec::new(),
            weights: vec![1.0],
        }
    }
}
