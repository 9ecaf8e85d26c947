//! Recipes: what a run is, as data.
//!
//! [`RawRecipe`] is the file as written, [`Recipe`] the same with every default filled in and every value
//! checked. The resolved recipe is printed and saved in the run folder; it is itself a valid recipe file,
//! whose paths are relative to the folder that `train` was run in.

pub mod bounds;
mod compare;
mod device;
mod elsewhere;
mod notes;
mod parse;
mod raw;
mod resolve;
mod samples;
pub(crate) mod schema;
mod unknown;

use std::path::{Path, PathBuf};

use fairhuman_dataset::{DatasetSpec, GeometrySpec, Region};
use serde::Serialize;

pub use compare::{Difference, differences, flatten, other_device};
pub use device::{Device, Precision};
pub use raw::{
    GradientUse, Log, OnEnd, Prediction, RawCheckpoints, RawModel, RawObjective, RawOptimizer, RawRecipe,
    RawSamples, RawSchedule, RawValidation,
};
pub use samples::Samples;
pub use schema::schema;

use crate::aggregate::Weighting;
use crate::method::MethodSettings;
use crate::objective::Objective;
use crate::rate::Schedule;
use crate::step::Plan;

/// Why a recipe was refused.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read the recipe {}: {source}{}", path.display(), way_on(path, source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of another type.
    #[error("the recipe {} is not valid:\n{problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, the key and what was expected.
        problem: String,
    },
    /// A path that no recipe can hold.
    #[error("{}: expected a path in UTF-8, as recipes are", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// Keys that there are not, or values that do not make sense.
    #[error("the recipe {} is not valid:\n  {}", path.display(), problems.join("\n  "))]
    Values {
        /// The file.
        path: PathBuf,
        /// One line per key: what was expected and what was found.
        problems: Vec<String>,
    },
}

/// A way to a recipe, where a path names none or another program has written it.
fn way_on(path: &Path, source: &std::io::Error) -> String {
    let of_run = crate::folder::recipe(path);
    match (path.is_dir(), path.exists()) {
        (true, _) if of_run.is_file() => format!("; the recipe of the run in it is {}", of_run.display()),
        (true, _) => format!(
            "; a recipe is a TOML file, and `fairhuman init {}` writes one for a dataset",
            path.display()
        ),
        (false, false) => "; `fairhuman init DATASET` writes one".to_owned(),
        (false, true) if source.kind() == std::io::ErrorKind::InvalidData => {
            "; recipes are UTF-8: save it as such".to_owned()
        }
        (false, true) => String::new(),
    }
}

/// A resolved recipe. The meaning of every key is told at [`RawRecipe`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recipe {
    /// Number of steps.
    pub steps: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Samples per pass.
    pub batch: usize,
    /// Passes per step.
    pub accumulation: usize,
    /// Largest gradient norm.
    pub max_grad_norm: f64,
    /// Gamma of min-SNR weighting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_snr_gamma: Option<f64>,
    /// Bad steps in a row that end the run.
    pub stop_after_bad_steps: u64,
    /// Recompute activations.
    pub activation_checkpointing: bool,
    /// Gradients kept within a step.
    pub gradients: GradientUse,
    /// Where it computes.
    pub device: Device,
    /// Type of activations and frozen weights; none for the device's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// Threads, 0 for all cores.
    pub threads: usize,
    /// Run folder.
    pub out: PathBuf,
    /// Cache folder.
    pub cache: PathBuf,
    /// Decay of the trained values' moving average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// The training method: `method`, and the table of its name.
    #[serde(flatten)]
    pub method: MethodSettings,
    /// The model.
    pub model: Model,
    /// The pictures.
    pub dataset: DatasetSpec,
    /// Their geometry.
    pub geometry: GeometrySpec,
    /// The objectives.
    pub objective: Vec<Objective>,
    /// Their weighting.
    pub weighting: Weighting,
    /// AdamW.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub schedule: Schedule,
    /// Checkpoints.
    pub checkpoints: Checkpoints,
    /// Validation.
    pub validation: Validation,
    /// Pictures while training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
    /// Logs for other programs.
    pub log: Log,
    /// A command at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_end: Option<OnEnd>,
}

/// The model to fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// The model as it was named: a folder in diffusers' layout, a checkpoint file, the built-in model, a
    /// name on the Hub.
    pub path: PathBuf,
    /// Folder for what a checkpoint file lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// The prediction of a checkpoint file's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// Another autoencoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae: Option<PathBuf>,
    /// The layer of the text encoder that is read, from its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_skip: Option<usize>,
    /// The folder that all of this stands for, where it is not `path`. The command line finds it; it may lie
    /// in a cache, and is written nowhere.
    #[serde(skip)]
    pub settled: Option<PathBuf>,
}

impl Model {
    /// The model's folder in diffusers' layout.
    pub fn folder(&self) -> &Path {
        self.settled.as_deref().unwrap_or(&self.path)
    }
}

/// Constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Optimizer {
    /// Learning rate before the schedule's factor.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// Interval and number of checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checkpoints {
    /// Steps between them.
    pub every: u64,
    /// Number of checkpoints that are kept, 0 for all.
    pub keep: usize,
}

/// The held-out pictures, and the interval of validations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// Share of the pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Pictures by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Vec<PathBuf>>,
    /// Steps between validations.
    pub every: u64,
    /// Time steps per picture.
    pub draws: usize,
    /// Decides the noise, and which pictures `share` holds out.
    pub seed: u64,
    /// Log the losses of each picture.
    pub pictures: bool,
    /// Validate before the first step, too.
    pub at_start: bool,
}

impl Recipe {
    /// True if the combined gradient is a weighted sum: of the gradients themselves only products are needed.
    pub(crate) fn needs_products_only(&self) -> bool {
        self.weighting.rule.needs().is_some()
    }

    /// True if [`GradientUse::Twice`] is possible.
    pub fn can_go_twice(&self) -> bool {
        self.accumulation == 1 && self.needs_products_only() && self.method.wants_less()
    }

    /// Type of activations and frozen weights: as asked for, or the device's own.
    pub fn precision(&self) -> Precision {
        self.precision.unwrap_or(self.device.default_precision())
    }

    /// Reads and resolves a recipe file.
    ///
    /// # Errors
    /// [`RecipeError`] names the file and every key that is wrong.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let text = fairhuman_files::read_to_string(path)
            .map_err(|source| RecipeError::Io { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// The same from text; `path` serves messages, relative paths and the default of `out`.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, RecipeError> {
        parse::parse(path, text)
    }

    /// The recipe as TOML, every default written out.
    pub fn to_toml(&self) -> String {
        // Numbers, strings, lists and tables have a TOML form, and so do paths in UTF-8, as all of these are.
        toml::to_string(self).expect("every path is UTF-8")
    }

    /// Puts the run into another folder, the cache with it if it was inside.
    ///
    /// # Errors
    /// [`RecipeError::Path`].
    pub fn move_to(&mut self, out: &Path) -> Result<(), RecipeError> {
        if out.to_str().is_none() {
            return Err(RecipeError::Path { path: out.into() });
        }
        if let Ok(inside) = self.cache.strip_prefix(&self.out) {
            self.cache = out.join(inside);
        }
        self.out = out.to_path_buf();
        Ok(())
    }

    /// The regions that the dataset must have masks for, in the order of the objectives that have one.
    pub fn regions(&self) -> Vec<Region> {
        let masked = self.objective.iter().filter_map(|o| Some((o.name.clone(), o.mask.clone()?)));
        masked.map(|(name, mask)| Region { name, mask }).collect()
    }

    /// The parts that decide a step's direction.
    pub fn plan(&self) -> Plan<'_> {
        Plan { objectives: &self.objective, weighting: &self.weighting, gradients: self.gradients }
    }

    /// Samples of one step.
    pub fn samples_per_step(&self) -> usize {
        self.batch * self.accumulation
    }
}
