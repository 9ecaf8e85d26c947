//! Samples of a denoiser: latents with noise, the target, text. Shared by every method that trains through a
//! U-Net.

use std::path::PathBuf;
use std::sync::Arc;

use fairhuman_dataset::{Crop, Dataset, Wanted};
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::TextEncoders;
use fairhuman_diffusion::schedule::{NoiseSchedule, Prediction};
use fairhuman_diffusion::tokenizer::ClipTokenizer;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_engine::Backend;

use super::latents::{LatentEncoder, LatentReader, Latents, Posterior};
use super::text::{Captions, Embedding, encode_one};
use super::{DataError, DrawKey, Picture, Preparing, Reader, Source, Timesteps, noise, noised};
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

enum Text {
    Embedded(Captions),
    Tokens(Vec<ClipTokenizer>),
}

/// Reads latents and texts from the cache, and draws noise and time steps.
pub struct DenoisingReader {
    seed: u64,
    min_snr_gamma: Option<f64>,
    sampling: Sampling,
    schedule: NoiseSchedule,
    text: Text,
    latents: LatentReader,
    size_conditions: bool,
}

/// A denoiser's picture after its reader, and all that is left to do.
pub struct DenoisingRead(Read);

enum Read {
    /// Nothing: latents and text were at hand.
    Sample(Batch<DenoisingInputs>),
    /// The picture, the caption or both have to be encoded.
    Parts { latents: Latents, text: Option<TextInputs>, caption: String, place: Place },
}

/// Where a picture is used, and its size conditions.
struct Place {
    index: usize,
    key: DrawKey,
    time_ids: Vec<f32>,
}

impl DenoisingReader {
    /// The input for a caption, none if it has to be encoded first.
    fn text(&self, caption: &str) -> Result<Option<TextInputs>, DataError> {
        Ok(match &self.text {
            Text::Embedded(captions) => captions.get(caption)?.map(|text| self.embedded(text)),
            Text::Tokens(tokenizers) => {
                let ids = |t: &ClipTokenizer| vec![t.encode(caption).ids];
                Some(TextInputs::Tokens(tokenizers.iter().map(ids).collect()))
            }
        })
    }

    fn embedded(&self, text: Embedding) -> TextInputs {
        let pooled = if self.size_conditions { text.pooled } else { Vec::new() };
        TextInputs::Embedded { prompt: text.prompt, tokens: text.tokens, pooled }
    }

    /// The sample of a picture's latents and text.
    fn sample(
        &self,
        posterior: &Posterior,
        text: TextInputs,
        place: Place,
    ) -> Result<Batch<DenoisingInputs>, DataError> {
        let steps = self.schedule.steps();
        let (clean, timestep, noise, weight) = match place.key {
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
                let noise = noise::of_validation(seed, place.index as u64, j as u64, clean.len());
                (clean, timestep, noise, 1.0)
            }
        };
        let noised = noised(&self.schedule, &clean, &noise, timestep);
        let (height, width, channels) = posterior.shape();
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
        let (noisy, time_ids) = (noised.noisy, place.time_ids);
        Ok(Batch { targets, inputs: DenoisingInputs { noisy, timesteps: vec![timestep], text, time_ids } })
    }
}

impl Reader for DenoisingReader {
    type Read = DenoisingRead;

    fn mask_cell(&self) -> usize {
        self.latents.reduction()
    }

    fn wanted(&self) -> Wanted {
        Wanted { masks: true, ..Wanted::NOTHING }
    }

    fn read(&self, picture: &Picture<'_>, key: DrawKey) -> Result<DenoisingRead, DataError> {
        let Picture { dataset, index, draw, sample } = *picture;
        let latents = self.latents.read(dataset, index, draw)?;
        let text = self.text(&sample.caption)?;
        let time_ids = if self.size_conditions { sample.time_ids.to_vec() } else { Vec::new() };
        let place = Place { index, key, time_ids };
        Ok(DenoisingRead(match (latents, text) {
            (Latents::Cached(posterior), Some(text)) => Read::Sample(self.sample(&posterior, text, place)?),
            (latents, text) => Read::Parts { latents, text, caption: sample.caption.clone(), place },
        }))
    }
}

/// The frozen parts of a model that make a denoiser's inputs.
pub struct DenoisingSource<B: Backend> {
    reader: Arc<DenoisingReader>,
    latents: LatentEncoder<B>,
    /// For captions that no list holds.
    texts: Option<TextEncoders<B>>,
    cache: Cache,
}

/// Checks that every time step has a weight of the clean latents' error.
///
/// # Errors
/// A schedule whose last time step is noise alone.
pub fn check_clean_weight(schedule: &NoiseSchedule, clean_weight: f64) -> Result<(), DataError> {
    // The noisiest time step is the one that may have no weight.
    let noisiest = schedule.clean_weight(schedule.steps() - 1, clean_weight);
    noisiest.map(|_| ()).map_err(|problem| DataError::Problem(format!("clean_weight: {problem}; use 0")))
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
        check_clean_weight(&schedule, sampling.clean_weight)?;
        let cache = Cache::new(setup.cache);
        let unet = UNetConfig::open(&model.unet().join("config.json"))?;
        model.check_latents(&unet, &VaeConfig::open(&model.vae().join("config.json"))?)?;
        let cached = setup.geometry.crop == Crop::Center;
        let latents = LatentReader::open(&model.vae(), cache.clone(), cached, dataset.len())?;
        setup.geometry.check(latents.reduction())?;
        let (text, texts) = match captions {
            CaptionUse::Tokens => {
                let open = |(tokens, _, _): &(PathBuf, PathBuf, &str)| {
                    ClipTokenizer::open(tokens).map_err(ModelError::from)
                };
                (Text::Tokens(model.texts().iter().map(open).collect::<Result<_, _>>()?), None)
            }
            CaptionUse::Embedded => {
                let backend = setup.backend.exact();
                let (captions, texts) =
                    Captions::prepare(backend, model, cache.clone(), dataset, &unet, preparing)?;
                (Text::Embedded(captions), texts)
            }
        };
        let reader = DenoisingReader {
            seed: setup.seed,
            min_snr_gamma: setup.min_snr_gamma,
            sampling,
            schedule,
            text,
            latents,
            size_conditions: unet.added.is_some(),
        };
        let latents = LatentEncoder::new(&model.vae(), cache.clone());
        Ok(Self { reader: Arc::new(reader), latents, texts, cache })
    }

    /// The U-Net's prediction type.
    pub fn prediction(&self) -> Prediction {
        self.reader.schedule.prediction()
    }
}

impl<B: Backend> Source<B> for DenoisingSource<B> {
    type Inputs = DenoisingInputs;
    type Reader = DenoisingReader;

    fn reader(&self) -> &Arc<DenoisingReader> {
        &self.reader
    }

    fn sample(
        &mut self,
        backend: &B,
        DenoisingRead(read): DenoisingRead,
    ) -> Result<Batch<DenoisingInputs>, DataError> {
        let (latents, text, caption, place) = match read {
            Read::Sample(sample) => return Ok(sample),
            Read::Parts { latents, text, caption, place } => (latents, text, caption, place),
        };
        let posterior = self.latents.posterior(backend, latents)?;
        let text = match (text, &self.texts) {
            (Some(text), _) => text,
            (None, Some(texts)) => self.reader.embedded(encode_one(backend, texts, &caption)?),
            (None, None) => {
                return Err(DataError::Problem(format!("the caption {caption:?} is not encoded")));
            }
        };
        self.reader.sample(&posterior, text, place)
    }

    fn take_damaged(&self) -> usize {
        self.cache.take_damaged()
    }

    fn truncated_captions(&self, dataset: &Dataset) -> usize {
        match &self.reader.text {
            Text::Embedded(captions) => captions.truncated(),
            Text::Tokens(tokenizers) => {
                let cut = |caption: &str| tokenizers.iter().any(|t| t.encode(caption).truncated);
                dataset.items().iter().filter(|item| cut(&item.caption)).count()
            }
        }
    }
}
