//! The state of a run between steps: opened anew or from its last checkpoint, saved, looked at, exported.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_engine::{Backend, Params};

use crate::checkpoint::{self, Identity, Progress};
use crate::data::{Data, DataError, Preparing, StepData};
use crate::error::TrainError;
use crate::events::{Event, Start, Validation};
use crate::export;
use crate::fingerprint;
use crate::folder::{self, RunFolder};
use crate::gradient::{Direction, Gradients, Learner, Run, Task};
use crate::model::{Model, Network};
use crate::objective::{self, Objective};
use crate::optimizer::{Moments, update};
use crate::random::{Purpose, stream};
use crate::recipe::{Optimizer, Recipe, differences};
use crate::record::{self, Settings};
use crate::recorded::write_tensors;
use crate::samples::Studio;

/// A run between two steps.
pub struct Session<'a, B: Backend> {
    recipe: &'a Recipe,
    /// Pictures and captions.
    pub data: Data<'a, B>,
    /// Network and trained values.
    pub model: Model<B>,
    /// AdamW's state.
    pub moments: Moments<B>,
    /// Where the run is.
    pub progress: Progress,
    /// Its folder.
    pub folder: RunFolder,
    /// What makes pictures, where the recipe asks for some.
    studio: Option<Studio<B>>,
    identity: Identity,
    /// The last checkpoint's step; none before the first.
    saved: Option<u64>,
}

impl<'a, B: Backend> Session<'a, B> {
    /// Opens the run folder, data and model; goes on from the newest checkpoint where there is one.
    ///
    /// # Errors
    /// Whatever is wrong with recipe, data, model or checkpoint.
    pub fn open(backend: &'a B, recipe: &'a Recipe, preparing: Preparing<'_>) -> Result<Self, TrainError> {
        let lock = RunFolder::lock(&recipe.out)?;
        let newest = checkpoint::list(&folder::checkpoints(&recipe.out))?.pop();
        let saved = newest.map(|(_, path)| checkpoint::open(&path)).transpose()?;
        // A recipe that differs is told before the long work of opening the data.
        if let Some(saved) = &saved {
            let differences = differences(&saved.identity.recipe, &recipe.to_toml()).map_err(|e| {
                let (path, problem) = (saved.path().into(), format!("its recipe is not valid: {e}"));
                checkpoint::CheckpointError::Foreign { path, problem }
            })?;
            if !differences.is_empty() {
                return Err(TrainError::RecipeChanged { path: recipe.out.clone(), differences });
            }
        }
        let model = fingerprint::of_model(&recipe.model.path)?;
        if saved.as_ref().is_some_and(|saved| saved.identity.model != model) {
            return Err(TrainError::ModelChanged {
                path: recipe.out.clone(),
                model: recipe.model.path.clone(),
            });
        }
        let data = Data::open(backend, recipe, preparing)?;
        let identity = Identity { recipe: recipe.to_toml(), dataset: data.fingerprint(), model };
        if saved.as_ref().is_some_and(|saved| saved.identity.dataset != identity.dataset) {
            return Err(TrainError::DatasetChanged { path: recipe.out.clone() });
        }
        preparing("reading the model", 0, 1)?;
        let mut model = Model::open(backend, recipe, adapter_seed(recipe.seed))?;
        let studio =
            recipe.samples.as_ref().map(|samples| Studio::open(backend, &recipe.model.path, samples));
        let studio = studio.transpose()?;
        let (moments, progress) = match &saved {
            Some(saved) => (
                {
                    let Model { params, averages, .. } = &mut model;
                    saved.restore(backend, params, averages.as_mut())?
                },
                saved.progress.clone(),
            ),
            None => (Moments::new(backend, &model.params), Progress::default()),
        };
        let folder = RunFolder::open(&recipe.out, lock, recipe, progress.step)?;
        let saved = saved.map(|saved| saved.progress.step);
        Ok(Self { recipe, data, model, moments, progress, folder, studio, identity, saved })
    }

    /// The event that begins a command.
    pub fn start(&self, until: u64, machine: &str) -> Event {
        Event::Start(Start {
            step: self.progress.step,
            until,
            objectives: self.recipe.objective.iter().map(|o| o.name.clone()).collect(),
            training_samples: self.data.training_samples(),
            held_out: self.data.held_out(),
            trained_values: self.model.params.values(),
            truncated_captions: self.data.truncated_captions(),
            notes: self.data.notes(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: machine.to_owned(),
        })
    }

    /// Saves a checkpoint, unless this state is saved already or not a step is done, and deletes those beyond the
    /// recipe's number.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn save(&mut self, backend: &B) -> Result<Option<Event>, TrainError> {
        let written = self.write(backend)?;
        checkpoint::prune(&folder::checkpoints(&self.recipe.out), self.recipe.checkpoints.keep)?;
        Ok(written)
    }

    /// Goes back by `count` steps that changed nothing: their checkpoint is written, later ones are deleted.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn take_back(&mut self, backend: &B, count: u64) -> Result<(), TrainError> {
        self.progress = Progress { step: self.progress.step.saturating_sub(count), bad_in_a_row: 0 };
        self.write(backend)?;
        let folder = folder::checkpoints(&self.recipe.out);
        checkpoint::delete_after(&folder, self.progress.step)?;
        checkpoint::prune(&folder, self.recipe.checkpoints.keep)?;
        Ok(())
    }

    fn write(&mut self, backend: &B) -> Result<Option<Event>, TrainError> {
        let step = self.progress.step;
        if step == 0 || self.saved == Some(step) {
            return Ok(None);
        }
        self.folder.sync()?;
        let folder = folder::checkpoints(&self.recipe.out);
        let Model { params, averages, .. } = &self.model;
        let (averages, moments) = (averages.as_ref(), &self.moments);
        let path =
            checkpoint::save(backend, &folder, params, averages, moments, &self.progress, &self.identity)?;
        self.saved = Some(step);
        Ok(Some(Event::Checkpoint { step, file: self.folder.relative(&path) }))
    }

    /// The held-out losses of what is trained as it is, or of its averages; none without held-out pictures, or where it is
    /// told to stop.
    ///
    /// # Errors
    /// Files that cannot be read, a network that cannot take the data.
    pub fn validate(&mut self, run: &Run<'_, B>, stop: &AtomicBool) -> Result<Option<Event>, TrainError> {
        if !self.data.validates() {
            return Ok(None);
        }
        let start = (run.clock)();
        let objectives = &self.recipe.objective;
        let (network, params) = (&self.model.network, self.model.shown());
        let mut sums = Sums::new(objectives.len());
        let looked = self.data.validate(self.recipe.batch, &mut |batch| {
            if stop.load(Ordering::SeqCst) {
                return Err(DataError::Stopped);
            }
            sums.add(run.backend, network, &params, objectives, batch).map_err(DataError::Problem)
        });
        match looked {
            Err(DataError::Stopped) => return Ok(None),
            looked => looked?,
        }
        let (losses, present) = sums.losses(objectives);
        let seconds = (run.clock)() - start;
        Ok(Some(Event::Validation(Validation { step: self.progress.step, losses, present, seconds })))
    }

    /// Pictures of the recipe's prompts by what is trained as it is, or by its averages; none without `[samples]`, or where
    /// it is told to stop.
    ///
    /// # Errors
    /// See [`Studio::take`].
    pub fn sample(&self, run: &Run<'_, B>, stop: &AtomicBool) -> Result<Option<Event>, TrainError> {
        let Some(studio) = &self.studio else { return Ok(None) };
        let (start, step) = ((run.clock)(), self.progress.step);
        let files = studio.take(run.backend, &self.model, self.folder.path(), step, stop)?;
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let files = files.iter().map(|path| self.folder.relative(path)).collect();
        Ok(Some(Event::Samples { step, files, seconds: (run.clock)() - start }))
    }

    /// Writes what was learnt for other programs; paths relative to the run folder.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn export(&mut self, backend: &B) -> Result<Vec<PathBuf>, TrainError> {
        let files = export::export(backend, self.recipe, &self.model, &mut self.data)?;
        Ok(files.iter().map(|path| self.folder.relative(path)).collect())
    }

    /// Writes a step as files: its inputs, and what it gives when AdamW starts from zero, as replays do.
    ///
    /// # Errors
    /// Objectives that such a file cannot express, files that cannot be written.
    pub fn record(
        &self,
        backend: &B,
        data: &StepData,
        learning_rate: f64,
        gradients: &Gradients<B>,
        direction: &Direction<B>,
        clip: f64,
    ) -> Result<(), TrainError> {
        let step = self.progress.step + 1;
        let (Network::Adapted { unet, modules }, Some(lora)) = (&self.model.network, self.recipe.lora())
        else {
            let problem = "there is no adapter".into();
            return Err(TrainError::RecordStep { step, problem });
        };
        let folder = folder::record(&self.recipe.out, step);
        std::fs::create_dir_all(&folder).map_err(|source| TrainError::Io { path: folder.clone(), source })?;
        let values = |params: &Params<B>| {
            record::adapter(backend, unet, params, modules)
                .map_err(|problem| TrainError::RecordStep { step, problem })
        };
        let optimizer = Optimizer { learning_rate, ..self.recipe.optimizer };
        let settings = Settings {
            objectives: &self.recipe.objective,
            weighting: &self.recipe.weighting,
            optimizer,
            max_grad_norm: self.recipe.max_grad_norm,
            rank: lora.rank,
            lora_alpha: lora.alpha,
        };
        let batch = data.whole()?;
        let inputs = folder.join("inputs.safetensors");
        record::write_inputs(&inputs, &batch, &settings, values(&self.model.params)?)?;
        let mut params = Params::default();
        for param in self.model.params.iter() {
            params.add(param.name.clone(), param.value.clone());
        }
        let mut moments = Moments::new(backend, &params);
        update(backend, &mut params, &mut moments, &direction.combined, clip, &optimizer, learning_rate);
        let outputs = record::outputs(&batch, gradients, direction, values(&params)?);
        write_tensors(&folder.join("expected.safetensors"), &outputs)?;
        Ok(())
    }
}

/// The adapter's seed: a function of the run's.
fn adapter_seed(seed: u64) -> u64 {
    use rand_chacha::rand_core::RngCore;
    stream(seed, Purpose::Adapter, 0, 0).next_u64()
}

/// Sums of squared errors over batches that are seen one after the other, and what to divide them by.
struct Sums {
    squares: Vec<f64>,
    inside: Vec<f64>,
    elements: f64,
    present: Vec<usize>,
}

impl Sums {
    fn new(objectives: usize) -> Self {
        let zeros = vec![0.0; objectives];
        Self { squares: zeros.clone(), inside: zeros, elements: 0.0, present: vec![0; objectives] }
    }

    fn add<B: Backend>(
        &mut self,
        backend: &B,
        learner: &impl Learner<B>,
        params: &Params<B>,
        objectives: &[Objective],
        batch: &crate::batch::Batch,
    ) -> Result<(), String> {
        let ones = vec![1.0; objectives.len()];
        let present = objective::present(batch, objectives.len());
        let task = Task { objectives, batch, divisors: &ones, present: &present };
        let losses = learner.losses(backend, params, &task)?;
        for k in 0..objectives.len() {
            self.squares[k] += losses[k].iter().sum::<f64>();
            self.inside[k] += objective::inside(k, std::slice::from_ref(batch));
            self.present[k] += present[k].len();
        }
        self.elements += batch.target.len() as f64;
        Ok(())
    }

    fn losses(self, objectives: &[Objective]) -> (Vec<f64>, Vec<usize>) {
        let divisors = objective::divide(objectives, &self.inside, self.elements);
        let quotient = |(&sum, &divisor): (&f64, &f64)| if divisor > 0.0 { sum / divisor } else { 0.0 };
        (self.squares.iter().zip(&divisors).map(quotient).collect(), self.present)
    }
}
