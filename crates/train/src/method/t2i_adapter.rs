//! `method = "t2i-adapter"`: a small network that reads a control image once for all time steps (Mou et al.
//! 2023), trained fairly.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::adapter::{Adapter, AdapterConfig, AdapterKind, check_files};
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_engine::{Backend, DType, Params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::control_network::{ControlSettings, TrainedControl, check};
use super::{Settings, Setup};
use crate::controlled::Controlled;
use crate::data::{Sampling, Timesteps};
use crate::error::TrainError;
use crate::memory::Trained;
use crate::problems::Problems;
use crate::random::{Purpose, seed_of};
use crate::recipe::Recipe;

/// `[t2i-adapter]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its form, where it is new: `"xl"`, `"full"` or `"light"`. Default: `"xl"` for SDXL, else `"full"`.
    pub kind: Option<Kind>,
    /// An adapter to train on: a diffusers folder or a file. Default: a new one.
    pub path: Option<PathBuf>,
    /// Share of samples whose control image is black. Default 0.3 (the paper's).
    pub dropout: Option<f64>,
    /// Time steps: `"cubic"`, mostly noisy ones, where the layout of a picture is decided (default, the
    /// paper's and the original's), or `"uniform"`.
    pub timesteps: Option<Timesteps>,
    /// True if mirroring would make another control image of it, as of a skeleton whose sides have colours.
    /// Default true.
    pub sided: Option<bool>,
    /// Type of the written weights: `"f32"` (default), `"f16"` or `"bf16"`.
    #[serde(default)]
    #[schemars(schema_with = "crate::recipe::schema::stored_type")]
    pub dtype: Option<DType>,
}

/// Forms of a T2I-Adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// For SDXL.
    Xl,
    /// For SD 1.5 and 2.x.
    Full,
    /// A quarter of that.
    Light,
}

impl Kind {
    fn of_file(self) -> AdapterKind {
        match self {
            Kind::Xl => AdapterKind::FullXl,
            Kind::Full => AdapterKind::Full,
            Kind::Light => AdapterKind::Light,
        }
    }
}

/// A T2I-Adapter's settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterSettings {
    /// Its form; none: by the model's family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The adapter to begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Share of black control images.
    pub dropout: f64,
    /// Distribution of the time steps.
    pub timesteps: Timesteps,
    /// True if control images must not be mirrored.
    pub sided: bool,
    /// Type of the written weights.
    pub dtype: DType,
}

impl Settings for AdapterSettings {
    const NAME: &'static str = "t2i-adapter";
    const WRITES: &'static [&'static str] = &["t2i-adapter", "t2i-adapter.safetensors"];
    const RECORDS: bool = true;
    const CONTROLLED: bool = true;
    const REGION_SCALE: f64 = 1.0;
    const FREE_KEYS: &'static [&'static str] = &["dtype"];
    type Table = Table;
    type Network<B: Backend> = Controlled<B, Adapter<B>>;

    fn resolve(table: Table, base: &Path, problems: &mut Problems) -> Self {
        let settings = Self {
            kind: table.kind,
            path: table.path.map(|path| base.join(path)),
            dropout: table.dropout.unwrap_or(0.3),
            timesteps: table.timesteps.unwrap_or(Timesteps::Cubic),
            sided: table.sided.unwrap_or(true),
            dtype: table.dtype.unwrap_or_default(),
        };
        let dropout = settings.dropout;
        problems.check((0.0..1.0).contains(&dropout), "t2i-adapter.dropout", "a share in [0, 1)", dropout);
        let both = settings.path.is_some() && settings.kind.is_some();
        problems.check(!both, "t2i-adapter.kind", "none beside t2i-adapter.path", "both");
        settings
    }

    fn check(&self, recipe: &Recipe, problems: &mut Problems) {
        check(recipe, Self::NAME, self.sided, problems);
    }

    fn trained(&self) -> Trained {
        Trained::T2iAdapter(self.kind.map(Kind::of_file))
    }

    fn check_model(&self, _: &ModelFolder, (_, vae): (&UNetConfig, &VaeConfig)) -> Result<(), TrainError> {
        Ok(self.path.as_ref().map_or(Ok(()), |path| check_files(path, vae.reduction()))?)
    }

    fn reads(&self) -> Vec<(&'static str, &Path)> {
        self.path.iter().map(|path| ("t2i-adapter.path", path.as_path())).collect()
    }
}

impl ControlSettings for AdapterSettings {
    fn sampling(&self) -> Sampling {
        Sampling { timesteps: self.timesteps, clean_weight: 0.0 }
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

impl<B: Backend> TrainedControl<B> for Adapter<B> {
    type Settings = AdapterSettings;

    fn open(
        setup: &Setup<'_, B>,
        settings: &AdapterSettings,
        params: &mut Params<B>,
    ) -> Result<Self, ModelError> {
        let reduction = VaeConfig::open(&setup.model.vae().join("config.json"))?.reduction();
        let trained = Trainable::All(params);
        if let Some(path) = &settings.path {
            return Self::load(setup.backend, path, reduction, trained);
        }
        let unet = UNetConfig::open(&setup.model.unet().join("config.json"))?;
        let usual = if unet.added.is_some() { Kind::Xl } else { Kind::Full };
        let kind = settings.kind.unwrap_or(usual).of_file();
        let config = AdapterConfig::of_unet(kind, &unet.channels, reduction);
        Self::init(setup.backend, &config, seed_of(setup.seed, Purpose::Control), trained)
    }
}
