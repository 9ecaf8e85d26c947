//! From a dataset and a model folder to batches: what a step sees is a function of (seed, step, slot).
//!
//! Pictures are encoded by the autoencoder, whose posterior is kept (mean and log-variance) and sampled anew
//! at every step; captions by the text encoders, once, before the first step. Both are cached on disk.
//! Latents are cached only where the crop is not random.

mod latents;
mod noise;
mod text;

use std::path::{Path, PathBuf};

use fairhuman_dataset::{Crop, Dataset, DatasetError, GeometrySpec, Problems, Sample, draw};
use fairhuman_diffusion::config_check::ConfigError;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::schedule::NoiseSchedule;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::weights::WeightError;
use fairhuman_engine::Backend;

use crate::batch::Batch;
use crate::cache::{Cache, Key};
use crate::order::{Order, held_out};
use crate::recipe::{Recipe, Validation};
use latents::{Latents, Posterior};
pub use noise::{Noised, noised};
use text::Captions;

/// Why the data of a run could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The dataset's first pass: everything that is wrong.
    #[error(transparent)]
    Dataset(#[from] Problems),
    /// One picture or mask.
    #[error(transparent)]
    Sample(#[from] DatasetError),
    /// The autoencoder or a text encoder.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A configuration file of the model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cache.
    #[error("cache: {0}")]
    Cache(#[from] WeightError),
    /// A model file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else, with what to do.
    #[error("{0}")]
    Problem(String),
}

/// Told how far the preparation is: what, how many are done, of how many.
pub type Preparing<'a> = &'a mut dyn FnMut(&str, usize, usize);

/// The data of one step.
#[derive(Debug, Clone)]
pub struct StepData {
    /// Its micro-batches. With aspect-ratio buckets each has a size of its own.
    pub batches: Vec<Batch>,
    /// The pictures' names.
    pub names: Vec<String>,
}

impl StepData {
    /// The time steps of all samples.
    pub fn timesteps(&self) -> Vec<usize> {
        self.batches.iter().flat_map(|batch| batch.timesteps.iter().copied()).collect()
    }

    /// All samples as one batch.
    ///
    /// # Errors
    /// Samples of different sizes.
    pub fn whole(&self) -> Result<Batch, DataError> {
        let several =
            "this step has pictures of several sizes: with accumulation = 1 a step can be one batch";
        join(&self.batches).map_err(|_| DataError::Problem(several.into()))
    }
}

/// The data of a run.
pub struct Data<'b, B: Backend> {
    backend: &'b B,
    dataset: Dataset,
    /// Per objective the index of its region, none for the whole picture.
    regions: Vec<Option<usize>>,
    seed: u64,
    geometry: GeometrySpec,
    min_snr_gamma: Option<f64>,
    order: Order,
    training: usize,
    held_out: Vec<usize>,
    validation: Validation,
    schedule: NoiseSchedule,
    captions: Captions<B>,
    latents: Latents<'b, B>,
    size_conditions: bool,
}

impl<'b, B: Backend> Data<'b, B> {
    /// Opens the dataset, checks it against the recipe, and encodes all captions that are not in the cache.
    ///
    /// # Errors
    /// Everything that is wrong with the dataset, files of the model that are missing or do not fit.
    pub fn open(backend: &'b B, recipe: &Recipe, preparing: Preparing<'_>) -> Result<Self, DataError> {
        let dataset = Dataset::open(Path::new(""), &recipe.dataset, &recipe.regions())?;
        let held_out = choose_held_out(&dataset, recipe)?;
        let training: Vec<usize> =
            (0..dataset.len()).filter(|i| held_out.binary_search(i).is_err()).collect();
        if training.is_empty() {
            let text = format!("all {} pictures are held out: none is left to train on", dataset.len());
            return Err(DataError::Problem(text));
        }
        let model = ModelFolder::open(&recipe.model.path)?;
        let schedule = NoiseSchedule::read(&model.schedule())?;
        let cache = Cache::new(&recipe.cache);
        let unet = UNetConfig::open(&model.unet().join("config.json"))?;
        let latents =
            Latents::open(backend, &model.vae(), cache.clone(), recipe.geometry.crop == Crop::Center)?;
        recipe.geometry.check(latents.reduction())?;
        let captions = Captions::prepare(backend, &model, cache, &dataset, preparing)?;
        let order = order(&dataset, recipe, &training);
        let mut next = 0;
        let regions = recipe.objective.iter().map(|o| {
            o.mask.as_ref().map(|_| {
                next += 1;
                next - 1
            })
        });
        Ok(Self {
            backend,
            regions: regions.collect(),
            seed: recipe.seed,
            geometry: recipe.geometry,
            min_snr_gamma: recipe.min_snr_gamma,
            training: training.len(),
            order,
            held_out,
            validation: recipe.validation.clone(),
            schedule,
            captions,
            latents,
            size_conditions: unet.added.is_some(),
            dataset,
        })
    }

    /// Number of pictures that are trained on.
    pub fn training_samples(&self) -> usize {
        self.training
    }

    /// Names of the held-out pictures.
    pub fn held_out(&self) -> Vec<String> {
        self.held_out.iter().map(|&i| self.name(i)).collect()
    }

    /// Captions that were cut off.
    pub fn truncated_captions(&self) -> usize {
        self.captions.truncated()
    }

    /// The noise schedule of the model.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// Hash of the list of samples, in order: a run goes on with the list that it was started with.
    pub fn fingerprint(&self) -> String {
        let mut key = Key::new("dataset");
        for item in self.dataset.items() {
            key = key.with(item.image.to_string_lossy().as_bytes()).with(item.caption.as_bytes());
            for mask in &item.masks {
                key =
                    key.with(mask.as_ref().map_or_else(Default::default, |m| m.to_string_lossy()).as_bytes());
            }
            key = key.with(&item.repeats.to_le_bytes()).with(&item.weight.to_le_bytes());
            key = key.with(&item.size.0.to_le_bytes()).with(&item.size.1.to_le_bytes());
        }
        key.finish().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The data of `step`, from 1.
    ///
    /// # Errors
    /// A file that has changed or cannot be read any more.
    pub fn step(&mut self, step: u64) -> Result<StepData, DataError> {
        let (mut batches, mut names, mut slot) = (Vec::new(), Vec::new(), 0);
        for indices in self.order.step(step) {
            let mut samples = Vec::new();
            for i in indices {
                let draw = draw(&self.geometry, self.dataset.item(i).size, self.seed, step, slot);
                let mut sample = self.dataset.load(i, &draw, self.latents.reduction())?;
                sample.caption = self.dataset.caption(i, self.seed, step, slot);
                let posterior = self.latents.posterior(&self.dataset, i, &draw, &sample)?;
                let clean = posterior.sample(self.seed, step, slot, self.latents.scaling());
                let timestep = noise::timestep(self.seed, step, slot, self.schedule.steps());
                let noise = noise::of_step(self.seed, step, slot, clean.len());
                let noised = noised(&self.schedule, &clean, &noise, timestep);
                let mut batch = self.one(&sample, &posterior, noised, timestep, self.min_snr_gamma)?;
                batch.weights[0] *= f64::from(self.dataset.item(i).weight);
                samples.push(batch);
                names.push(self.name(i));
                slot += 1;
            }
            batches.push(join(&samples)?);
        }
        Ok(StepData { batches, names })
    }

    /// Batches of held-out pictures at fixed noise and time steps, one after the other to `each`. The latents
    /// are the posterior's mean, the crop the middle, nothing is mirrored, captions are as written, min-SNR and weights
    /// are off.
    ///
    /// # Errors
    /// As [`Data::step`], and what `each` returns.
    pub fn validate(
        &mut self,
        batch: usize,
        each: &mut dyn FnMut(&Batch) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let geometry = GeometrySpec { crop: Crop::Center, flip: 0.0, ..self.geometry };
        let draws = self.validation.draws;
        let mut waiting = Vec::new();
        for (position, i) in self.held_out.clone().into_iter().enumerate() {
            let drawn = draw(&geometry, self.dataset.item(i).size, self.seed, 0, 0);
            let sample = self.dataset.load(i, &drawn, self.latents.reduction())?;
            let posterior = self.latents.posterior(&self.dataset, i, &drawn, &sample)?;
            let clean = posterior.mean(self.latents.scaling());
            for j in 0..draws {
                let timestep = noise::spread(position, self.held_out.len(), j, draws, self.schedule.steps());
                let noise = noise::of_validation(self.seed, i as u64, j as u64, clean.len());
                let noised = noised(&self.schedule, &clean, &noise, timestep);
                let one = self.one(&sample, &posterior, noised, timestep, None)?;
                let same = |other: &Batch| (other.height, other.width) == (one.height, one.width);
                if !waiting.last().is_none_or(same) {
                    each(&join(&waiting)?)?;
                    waiting.clear();
                }
                waiting.push(one);
                if waiting.len() == batch {
                    each(&join(&waiting)?)?;
                    waiting.clear();
                }
            }
        }
        if !waiting.is_empty() {
            each(&join(&waiting)?)?;
        }
        Ok(())
    }

    /// Whether there is anything to validate with.
    pub fn validates(&self) -> bool {
        !self.held_out.is_empty()
    }

    fn name(&self, i: usize) -> String {
        self.dataset.item(i).image.display().to_string()
    }

    /// A batch of one sample.
    fn one(
        &self,
        sample: &Sample,
        posterior: &Posterior,
        noised: Noised,
        timestep: usize,
        min_snr_gamma: Option<f64>,
    ) -> Result<Batch, DataError> {
        let (height, width, channels) = posterior.shape();
        let text = self.captions.get(self.backend, &sample.caption)?;
        let mask = |region: usize| match &sample.masks[region] {
            Some(mask) => mask.cells.clone(),
            None => vec![0.0; height * width],
        };
        Ok(Batch {
            size: 1,
            height,
            width,
            channels,
            noisy: noised.noisy,
            target: noised.target,
            timesteps: vec![timestep],
            prompt: text.prompt,
            tokens: text.tokens,
            pooled: if self.size_conditions { text.pooled } else { Vec::new() },
            time_ids: if self.size_conditions { sample.time_ids.to_vec() } else { Vec::new() },
            masks: self.regions.iter().map(|r| r.map(mask)).collect(),
            weights: vec![min_snr_gamma.map_or(1.0, |gamma| self.schedule.min_snr_weight(timestep, gamma))],
        })
    }

    /// The backend that encodes.
    pub fn backend(&self) -> &'b B {
        self.backend
    }
}

/// The walk through the pictures that are trained on, each as often as its folder's repeats say.
fn order(dataset: &Dataset, recipe: &Recipe, training: &[usize]) -> Order {
    let mut samples = dataset.epoch();
    samples.retain(|i| training.binary_search(i).is_ok());
    let size = |&i: &usize| recipe.geometry.target(dataset.item(i).size);
    let sizes = recipe.geometry.buckets.map(|_| samples.iter().map(size).collect());
    Order::new(recipe.seed, samples, sizes, (recipe.batch, recipe.accumulation))
}

/// Batches one below the other.
fn join(samples: &[Batch]) -> Result<Batch, DataError> {
    let problem = |text: &str| DataError::Problem(text.to_owned());
    let (first, rest) = samples.split_first().ok_or_else(|| problem("a batch needs a sample"))?;
    let mut all = first.clone();
    for next in rest {
        if (next.height, next.width, next.tokens) != (all.height, all.width, all.tokens) {
            return Err(problem("the samples of a batch have different sizes"));
        }
        all.size += next.size;
        all.noisy.extend(&next.noisy);
        all.target.extend(&next.target);
        all.timesteps.extend(&next.timesteps);
        all.prompt.extend(&next.prompt);
        all.pooled.extend(&next.pooled);
        all.time_ids.extend(&next.time_ids);
        all.weights.extend(&next.weights);
        for (mask, more) in all.masks.iter_mut().zip(&next.masks) {
            if let (Some(mask), Some(more)) = (mask, more) {
                mask.extend(more);
            }
        }
    }
    Ok(all)
}

/// Indices of the held-out samples, ascending.
fn choose_held_out(dataset: &Dataset, recipe: &Recipe) -> Result<Vec<usize>, DataError> {
    if let Some(names) = &recipe.validation.samples {
        let find = |name: &PathBuf| {
            dataset.items().iter().position(|item| item.image == *name).ok_or_else(|| {
                let name = name.display();
                DataError::Problem(format!(
                    "validation.samples: the dataset has no picture \"{name}\"; names are as the dataset lists them, \
                     such as \"{}\"",
                    dataset.item(0).image.display()
                ))
            })
        };
        let mut list = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        list.sort_unstable();
        list.dedup();
        return Ok(list);
    }
    let share = recipe.validation.share.unwrap_or(0.0);
    // A share that was asked for is at least one picture.
    let count = if share > 0.0 { ((share * dataset.len() as f64).round() as usize).max(1) } else { 0 };
    Ok(held_out(recipe.seed, dataset.len(), count))
}
