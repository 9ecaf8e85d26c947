//! Samples for the U-Net: latents with noise, the target, text.

use std::path::PathBuf;

use fairhuman_dataset::{Crop, Dataset};
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::schedule::NoiseSchedule;
use fairhuman_diffusion::tokenizer::ClipTokenizer;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_engine::Backend;

use super::latents::Latents;
use super::text::Captions;
use super::{DataError, Picture, Preparing, When, noise, noised, text};
use crate::batch::Batch;
use crate::cache::Cache;
use crate::recipe::{Method, Recipe};

/// What becomes of captions.
pub(super) enum Text<B: Backend> {
    /// The text encoders are frozen.
    Encoded(Captions<B>),
    /// They are trained: the tokenizers' ids go into the batch.
    Tokens(Vec<ClipTokenizer>),
}

/// The frozen parts of a model that make a U-Net's inputs.
pub(super) struct Denoising<'b, B: Backend> {
    backend: &'b B,
    seed: u64,
    min_snr_gamma: Option<f64>,
    pub schedule: NoiseSchedule,
    pub text: Text<B>,
    latents: Latents<'b, B>,
    size_conditions: bool,
}

impl<'b, B: Backend> Denoising<'b, B> {
    /// Opens them and encodes all captions that are not in the cache.
    pub fn open(
        backend: &'b B,
        recipe: &Recipe,
        dataset: &Dataset,
        preparing: Preparing<'_>,
    ) -> Result<Self, DataError> {
        let model = ModelFolder::open(&recipe.model.path)?;
        let schedule = NoiseSchedule::read(&model.schedule())?;
        let cache = Cache::new(&recipe.cache);
        let unet = UNetConfig::open(&model.unet().join("config.json"))?;
        model.check_latents(&unet, &VaeConfig::open(&model.vae().join("config.json"))?)?;
        let cached = recipe.geometry.crop == Crop::Center;
        let latents = Latents::open(backend, &model.vae(), cache.clone(), cached)?;
        recipe.geometry.check(latents.reduction())?;
        let text = match recipe.method {
            Method::Full { full } if full.text_encoders => {
                let open = |(tokens, _, _): &(PathBuf, PathBuf, &str)| {
                    ClipTokenizer::open(tokens).map_err(ModelError::from)
                };
                Text::Tokens(model.texts().iter().map(open).collect::<Result<_, _>>()?)
            }
            _ => Text::Encoded(Captions::prepare(backend, &model, cache, dataset, &unet, preparing)?),
        };
        Ok(Self {
            backend,
            seed: recipe.seed,
            min_snr_gamma: recipe.min_snr_gamma,
            schedule,
            text,
            latents,
            size_conditions: unet.added.is_some(),
        })
    }

    /// Pixels per latent cell, in one direction.
    pub fn reduction(&self) -> usize {
        self.latents.reduction()
    }

    /// A batch of one picture, without masks.
    pub fn batch(&mut self, picture: &Picture<'_>, when: When) -> Result<Batch, DataError> {
        let Picture { dataset, index, draw, sample } = *picture;
        let posterior = self.latents.posterior(dataset, index, draw)?;
        let steps = self.schedule.steps();
        let (clean, timestep, noise, weight) = match when {
            When::Step { step, slot } => {
                let clean = posterior.sample(self.seed, step, slot, self.latents.scaling());
                let timestep = noise::timestep(self.seed, step, slot, steps);
                let noise = noise::of_step(self.seed, step, slot, clean.len());
                let weight = |gamma| self.schedule.min_snr_weight(timestep, gamma);
                (clean, timestep, noise, self.min_snr_gamma.map_or(1.0, weight))
            }
            When::HeldOut { position, of, draw: (j, draws) } => {
                let clean = posterior.mean(self.latents.scaling());
                let timestep = noise::spread(position, of, j, draws, steps);
                let noise = noise::of_validation(self.seed, index as u64, j as u64, clean.len());
                (clean, timestep, noise, 1.0)
            }
        };
        let noised = noised(&self.schedule, &clean, &noise, timestep);
        let (height, width, channels) = posterior.shape();
        let mut texts = Vec::new();
        let text = match &self.text {
            Text::Encoded(captions) => captions.get(self.backend, &sample.caption)?,
            Text::Tokens(tokenizers) => {
                texts = tokenizers.iter().map(|t| vec![t.encode(&sample.caption).ids]).collect();
                text::Text::default()
            }
        };
        Ok(Batch {
            size: 1,
            height,
            width,
            channels,
            noisy: noised.noisy,
            target: noised.target,
            timesteps: vec![timestep],
            texts,
            prompt: text.prompt,
            tokens: text.tokens,
            pooled: if self.size_conditions { text.pooled } else { Vec::new() },
            time_ids: if self.size_conditions { sample.time_ids.to_vec() } else { Vec::new() },
            masks: Vec::new(),
            weights: vec![weight],
        })
    }
}
