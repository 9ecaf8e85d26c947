//! From a dataset and a model folder to batches: what a step sees is a function of (seed, step, slot).
//!
//! For an autoencoder samples are pictures. For a U-Net, pictures are encoded by the autoencoder, whose posterior is
//! kept (mean and log-variance) and sampled anew at every step; captions by the text encoders, once, before the first
//! step. Both are cached on disk. Latents are cached only where the crop is not random.

mod autoencoding;
mod choice;
mod denoising;
mod latents;
mod noise;
mod text;

use std::path::{Path, PathBuf};

use fairhuman_dataset::{Crop, Dataset, DatasetError, Draw, GeometrySpec, Problems, Sample, draw};
use fairhuman_diffusion::config_check::ConfigError;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::schedule::Prediction;
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_diffusion::weights::WeightError;
use fairhuman_engine::{Backend, Params, Tape, Var};

use crate::batch::Batch;
use crate::cache::Key;
use crate::order::Order;
use crate::recipe::{Method, Recipe, Validation};
use autoencoding::Autoencoding;
use choice::{choose_held_out, order};
use denoising::Denoising;
pub use noise::{Noised, noised};

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
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// Anything else, with what to do.
    #[error("{0}")]
    Problem(String),
}

/// Told how far the preparation is: what, how many are done, of how many. An error ends it.
pub type Preparing<'a> = &'a mut dyn FnMut(&str, usize, usize) -> Result<(), DataError>;

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
    order: Order,
    training: Vec<usize>,
    held_out: Vec<usize>,
    validation: Validation,
    source: Source<'b, B>,
}

/// What becomes of a picture.
enum Source<'b, B: Backend> {
    Denoising(Box<Denoising<'b, B>>),
    Autoencoding(Autoencoding),
}

/// A loaded picture.
#[derive(Clone, Copy)]
struct Picture<'a> {
    dataset: &'a Dataset,
    index: usize,
    draw: &'a Draw,
    sample: &'a Sample,
}

/// Where in a run a picture is used: what decides its random numbers.
#[derive(Debug, Clone, Copy)]
enum When {
    /// For a step.
    Step { step: u64, slot: u64 },
    /// For validation: position among `of` held-out pictures, and which of how many draws.
    HeldOut { position: usize, of: usize, draw: (usize, usize) },
}

impl<B: Backend> Source<'_, B> {
    /// Pixels per cell of the masks, in one direction: objectives are about latents, or about pictures.
    fn mask_cell(&self) -> usize {
        match self {
            Source::Denoising(denoising) => denoising.reduction(),
            Source::Autoencoding(_) => 1,
        }
    }

    fn batch(&mut self, picture: &Picture<'_>, when: When) -> Result<Batch, DataError> {
        match self {
            Source::Denoising(denoising) => denoising.batch(picture, when),
            Source::Autoencoding(autoencoding) => Ok(autoencoding.batch(picture, when)),
        }
    }
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
        let source = match recipe.method {
            Method::Vae { .. } => Source::Autoencoding(Autoencoding::open(recipe)?),
            _ => Source::Denoising(Box::new(Denoising::open(backend, recipe, &dataset, preparing)?)),
        };
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
            order,
            training,
            held_out,
            validation: recipe.validation.clone(),
            source,
            dataset,
        })
    }

    /// Number of pictures that are trained on.
    pub fn training_samples(&self) -> usize {
        self.training.len()
    }

    /// Names of the held-out pictures.
    pub fn held_out(&self) -> Vec<String> {
        self.held_out.iter().map(|&i| self.name(i)).collect()
    }

    /// What a person should know about the dataset: what was passed over, or is not used.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.dataset.notes().to_vec();
        if self.dataset.spec().conditioning.is_some() {
            let text = "dataset.conditioning: control images are checked, and not used: nothing here is trained with them yet";
            notes.push(text.into());
        }
        notes
    }

    /// Captions that were cut off.
    pub fn truncated_captions(&self) -> usize {
        match &self.source {
            Source::Denoising(denoising) => match &denoising.text {
                denoising::Text::Encoded(captions) => captions.truncated(),
                denoising::Text::Tokens(tokenizers) => {
                    let cut = |caption: &str| tokenizers.iter().any(|t| t.encode(caption).truncated);
                    self.dataset.items().iter().filter(|item| cut(&item.caption)).count()
                }
            },
            Source::Autoencoding(_) => 0,
        }
    }

    /// What the U-Net predicts.
    ///
    /// # Errors
    /// There is no U-Net in this run.
    pub fn prediction(&self) -> Result<Prediction, DataError> {
        match &self.source {
            Source::Denoising(denoising) => Ok(denoising.schedule.prediction()),
            Source::Autoencoding(_) => Err(DataError::Problem("an autoencoder predicts nothing".into())),
        }
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
        key.digits()
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
                let mut sample = self.load(i, &draw)?;
                sample.caption = self.dataset.caption(i, self.seed, step, slot);
                let mut batch = self.one(i, &draw, &sample, When::Step { step, slot })?;
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
        // An autoencoder's held-out losses depend on the picture alone.
        let draws = match self.source {
            Source::Denoising(_) => self.validation.draws,
            Source::Autoencoding(_) => 1,
        };
        let mut waiting = Vec::new();
        for (position, i) in self.held_out.clone().into_iter().enumerate() {
            let drawn = draw(&geometry, self.dataset.item(i).size, self.seed, 0, 0);
            let sample = self.load(i, &drawn)?;
            for j in 0..draws {
                let when = When::HeldOut { position, of: self.held_out.len(), draw: (j, draws) };
                let one = self.one(i, &drawn, &sample, when)?;
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

    /// Standard deviation of an autoencoder's latents over the first pictures of the training set.
    ///
    /// # Errors
    /// Pictures that cannot be read, latents that are all the same.
    pub fn latent_deviation(&self, vae: &AutoencoderKl<B>, params: &Params<B>) -> Result<f64, DataError> {
        const PICTURES: usize = 256;
        let geometry = GeometrySpec { crop: Crop::Center, flip: 0.0, ..self.geometry };
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for &i in self.training.iter().take(PICTURES) {
            let drawn = draw(&geometry, self.dataset.item(i).size, self.seed, 0, 0);
            let pixels = self.dataset.load_image(i, &drawn)?;
            let shape = [1, drawn.height as usize, drawn.width as usize, 3];
            let picture = self.backend.tensor(&shape, &pixels);
            let moments = self.backend.scope(|| {
                let mut tape = Tape::inference(self.backend, params);
                let moments = vae.encode(&mut tape, &Var::constant(picture))?;
                Ok::<_, ModelError>(self.backend.read(moments.value()))
            })?;
            let channels = vae.config().latent_channels;
            for cell in moments.chunks_exact(2 * channels) {
                for (&mean, &log_variance) in cell[..channels].iter().zip(&cell[channels..]) {
                    let mean = f64::from(mean);
                    count += 1.0;
                    sum += mean;
                    squares += mean * mean + f64::from(log_variance.clamp(-30.0, 20.0)).exp();
                }
            }
        }
        let deviation = (squares / count - (sum / count).powi(2)).sqrt();
        if deviation > 0.0 && deviation.is_finite() {
            return Ok(deviation);
        }
        let text = format!("the autoencoder's latents have the standard deviation {deviation}");
        Err(DataError::Problem(text))
    }

    /// Whether there is anything to validate with.
    pub fn validates(&self) -> bool {
        !self.held_out.is_empty()
    }

    /// Masks and caption of a picture, and its pixels where it is not latents that are learnt from: those may be in the
    /// cache.
    fn load(&self, i: usize, draw: &Draw) -> Result<Sample, DatasetError> {
        match self.source {
            Source::Denoising(_) => self.dataset.load_masks(i, draw, self.source.mask_cell()),
            Source::Autoencoding(_) => self.dataset.load(i, draw, self.source.mask_cell()),
        }
    }

    fn name(&self, i: usize) -> String {
        self.dataset.item(i).image.display().to_string()
    }

    /// A batch of one sample.
    fn one(&mut self, index: usize, draw: &Draw, sample: &Sample, when: When) -> Result<Batch, DataError> {
        let picture = Picture { dataset: &self.dataset, index, draw, sample };
        let mut batch = self.source.batch(&picture, when)?;
        let mask = |region: usize| match &sample.masks[region] {
            Some(mask) => mask.cells.clone(),
            None => vec![0.0; batch.height * batch.width],
        };
        batch.masks = self.regions.iter().map(|r| r.map(mask)).collect();
        Ok(batch)
    }

    /// The backend that encodes.
    pub fn backend(&self) -> &'b B {
        self.backend
    }
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
        for (texts, more) in all.texts.iter_mut().zip(&next.texts) {
            texts.extend_from_slice(more);
        }
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
