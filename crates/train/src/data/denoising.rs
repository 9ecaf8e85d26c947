//! Samples of a denoiser: latents with noise, the target, text. Shared by every method that trains through a
//! U-Net.

use std::path::PathBuf;

use fairhuman_dataset::{Crop, Dataset, Wanted};
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::schedule::{NoiseSchedule, Prediction};
use fairhuman_diffusion::tokenizer::ClipTokenizer;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_engine::Backend;

use super::latents::Latents;
use super::text::Captions;
use super::{DataError, DrawKey, Picture, Preparing, Source, Timesteps, noise, noised};
use crate::batch::{Batch, Targets};
use crate::cache::Cache;
use crate::denoising::{DenoisingInputs, TextInputs};
use crate::method::Setup;

/// The form in which a denoiser is given its captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptionUse {
    /// As embeddings: the text encoders are frozen.
    Embedded,
    /// As token ids: the text encoders are trained.
    Tokens,
}

/// Time steps and weights of a denoiser's samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sampling {
    /// Distribution of the time steps.
    pub timesteps: Timesteps,
    /// Weight of the clean latents' squared error beside the prediction's, in
    /// [`NoiseSchedule::clean_weight`].
    pub clean_weight: f64,
}

enum Text<B: Backend> {
    Embedded(Captions<B>),
    Tokens(Vec<ClipTokenizer>),
}

/// The frozen parts of a model that make a denoiser's inputs.
pub struct DenoisingSource<B: Backend> {
    seed: u64,
    min_snr_gamma: Option<f64>,
    sampling: Sampling,
    schedule: NoiseSchedule,
    text: Text<B>,
    latents: Latents<B>,
    cache: Cache,
    size_conditions: bool,
}

impl<B: Backend> DenoisingSource<B> {
    /// Opens them and encodes all captions that are not in the cache.
    ///
    /// # Errors
    /// Files of the model that are missing or do not fit.
    pub fn open(
        setup: &Setup<'_, B>,
        dataset: &Dataset,
        (captions, sampling): (CaptionUse, Sampling),
        preparing: Preparing<'_>,
    ) -> Result<Self, DataError> {
        let model = &setup.model;
        let schedule = NoiseSchedule::read(&model.schedule())?;
        // The noisiest time step is the one that may have no weight.
        schedule
            .clean_weight(schedule.steps() - 1, sampling.clean_weight)
            .map_err(|problem| DataError::Problem(format!("clean_weight: {problem}; use 0")))?;
        let cache = Cache::new(setup.cache);
        let unet = UNetConfig::open(&model.unet().join("config.json"))?;
        model.check_latents(&unet, &VaeConfig::open(&model.vae().join("config.json"))?)?;
        let cached = setup.geometry.crop == Crop::Center;
        let latents = Latents::open(&model.vae(), cache.clone(), cached)?;
        setup.geometry.check(latents.reduction())?;
        let text = match captions {
            CaptionUse::Tokens => {
                let open = |(tokens, _, _): &(PathBuf, PathBuf, &str)| {
                    ClipTokenizer::open(tokens).map_err(ModelError::from)
                };
                Text::Tokens(model.texts().iter().map(open).collect::<Result<_, _>>()?)
            }
            CaptionUse::Embedded => Text::Embedded(Captions::prepare(
                setup.backend.exact(),
                model,
                cache.clone(),
                dataset,
                &unet,
                preparing,
            )?),
        };
        Ok(Self {
            seed: setup.seed,
            min_snr_gamma: setup.min_snr_gamma,
            sampling,
            schedule,
            text,
            latents,
            cache,
            size_conditions: unet.added.is_some(),
        })
    }

    /// The U-Net's prediction type.
    pub fn prediction(&self) -> Prediction {
        self.schedule.prediction()
    }
}

impl<B: Backend> Source<B> for DenoisingSource<B> {
    type Inputs = DenoisingInputs;

    fn mask_cell(&self) -> usize {
        self.latents.reduction()
    }

    fn wanted(&self) -> Wanted {
        Wanted { masks: true, ..Wanted::NOTHING }
    }

    fn sample(
        &mut self,
        backend: &B,
        picture: &Picture<'_>,
        key: DrawKey,
    ) -> Result<Batch<DenoisingInputs>, DataError> {
        let Picture { dataset, index, draw, sample } = *picture;
        let posterior = self.latents.posterior(backend, dataset, index, draw)?;
        let steps = self.schedule.steps();
        let (clean, timestep, noise, weight) = match key {
            DrawKey::Step { step, slot } => {
                let clean = posterior.sample(self.seed, step, slot, self.latents.scaling());
                let Sampling { timesteps, clean_weight } = self.sampling;
                let timestep = noise::timestep(timesteps, self.seed, step, slot, steps);
                let noise = noise::of_step(self.seed, step, slot, clean.len());
                let weight = |gamma| self.schedule.min_snr_weight(timestep, gamma);
                let both = self.schedule.clean_weight(timestep, clean_weight);
                let both = both.map_err(|problem| DataError::Problem(format!("clean_weight: {problem}")))?;
                (clean, timestep, noise, self.min_snr_gamma.map_or(1.0, weight) * both)
            }
            DrawKey::HeldOut { seed, position, of, draw: (j, draws), .. } => {
                let clean = posterior.mean(self.latents.scaling());
                let timestep = noise::spread(position, of, j, draws, steps);
                let noise = noise::of_validation(seed, index as u64, j as u64, clean.len());
                (clean, timestep, noise, 1.0)
            }
        };
        let noised = noised(&self.schedule, &clean, &noise, timestep);
        let (height, width, channels) = posterior.shape();
        let text = match &self.text {
            Text::Embedded(captions) => {
                let text = captions.get(backend, &sample.caption)?;
                let pooled = if self.size_conditions { text.pooled } else { Vec::new() };
                TextInputs::Embedded { prompt: text.prompt, tokens: text.tokens, pooled }
            }
            Text::Tokens(tokenizers) => {
                let ids = |t: &ClipTokenizer| vec![t.encode(&sample.caption).ids];
                TextInputs::Tokens(tokenizers.iter().map(ids).collect())
            }
        };
        let targets = Targets {
            size: 1,
            height,
            width,
            channels,
            values: noised.target,
            masks: Vec::new(),
            weights: vec![weight],
            names: Vec::new(),
        };
        let time_ids = if self.size_conditions { sample.time_ids.to_vec() } else { Vec::new() };
        let inputs = DenoisingInputs { noisy: noised.noisy, timesteps: vec![timestep], text, time_ids };
        Ok(Batch { targets, inputs })
    }

    fn take_damaged(&self) -> usize {
        self.cache.take_damaged()
    }

    fn truncated_captions(&self, dataset: &Dataset) -> usize {
        match &self.text {
            Text::Embedded(captions) => captions.truncated(),
            Text::Tokens(tokenizers) => {
                let cut = |caption: &str| tokenizers.iter().any(|t| t.encode(caption).truncated);
                dataset.items().iter().filter(|item| cut(&item.caption)).count()
            }
        }
    }
}
