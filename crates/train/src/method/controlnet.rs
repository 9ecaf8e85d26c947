//! `method = "controlnet"`: a copy of the U-Net's first half that reads a control image (Zhang et al. 2023),
//! trained fairly.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::controlnet::{ControlNet, ControlNetConfig, Start, check_files};
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::schedule::NoiseSchedule;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_engine::{Backend, DType, Params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::control_network::{ControlSettings, TrainedControl, check};
use super::{Settings, Setup};
use crate::controlled::Controlled;
use crate::data::{Sampling, Timesteps, check_clean_weight};
use crate::error::TrainError;
use crate::memory::Trained;
use crate::problems::Problems;
use crate::random::{Purpose, seed_of};
use crate::recipe::Recipe;

/// `[controlnet]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// A ControlNet to train on: a diffusers folder or a file. Default: a copy of the U-Net, which begins
    /// without any effect.
    pub path: Option<PathBuf>,
    /// Share of samples whose control image is black. Default 0.3 (the paper's).
    pub dropout: Option<f64>,
    /// Weight of the error of the clean latents beside that of the prediction (the paper's loss has both,
    /// weight 1). Default 0: at high noise this term is hundreds of times larger than all others.
    pub clean_weight: Option<f64>,
    /// True if mirroring would make another control image of it, as of a skeleton whose sides have colours.
    /// Default true.
    pub sided: Option<bool>,
    /// Channels of the layers that read the control image, where the network is new; each but the last halves
    /// the picture. Default: 16, 32, 96, 256, as many as the model's reduction needs.
    pub channels: Option<Vec<usize>>,
    /// Type of the written weights: `"f32"` (default), `"f16"` or `"bf16"`.
    #[serde(default)]
    #[schemars(schema_with = "crate::recipe::schema::stored_type")]
    pub dtype: Option<DType>,
}

/// A ControlNet's settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControlNetSettings {
    /// The network to begin with; none for a copy of the U-Net.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Share of black control images.
    pub dropout: f64,
    /// Weight of the clean latents' error.
    pub clean_weight: f64,
    /// True if control images must not be mirrored.
    pub sided: bool,
    /// Channels of a new network's hint layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<usize>>,
    /// Type of the written weights.
    pub dtype: DType,
}

impl Settings for ControlNetSettings {
    const NAME: &'static str = "controlnet";
    const WRITES: &'static [&'static str] = &["controlnet", "controlnet.safetensors"];
    const RECORDS: bool = true;
    const CONTROLLED: bool = true;
    const REGION_SCALE: f64 = 1.0;
    const FREE_KEYS: &'static [&'static str] = &["dtype"];
    type Table = Table;
    type Network<B: Backend> = Controlled<B, ControlNet<B>>;

    fn resolve(table: Table, base: &Path, problems: &mut Problems) -> Self {
        let settings = Self {
            path: table.path.map(|path| base.join(path)),
            dropout: table.dropout.unwrap_or(0.3),
            clean_weight: table.clean_weight.unwrap_or(0.0),
            sided: table.sided.unwrap_or(true),
            channels: table.channels,
            dtype: table.dtype.unwrap_or_default(),
        };
        let Self { dropout, clean_weight, .. } = settings;
        problems.check((0.0..1.0).contains(&dropout), "controlnet.dropout", "a share in [0, 1)", dropout);
        let weight = (0.0..=1e6).contains(&clean_weight);
        problems.check(weight, "controlnet.clean_weight", "0 to 1e6", clean_weight);
        if let Some(channels) = &settings.channels {
            let fine = !channels.is_empty() && channels.iter().all(|c| (1..=4096).contains(c));
            problems.check(fine, "controlnet.channels", "numbers of 1 to 4096", format!("{channels:?}"));
            let new = settings.path.is_none();
            problems.check(new, "controlnet.channels", "none beside controlnet.path", "both");
        }
        settings
    }

    fn check(&self, recipe: &Recipe, problems: &mut Problems) {
        check(recipe, Self::NAME, self.sided, problems);
        problems.check(
            recipe.min_snr_gamma.is_none() || self.clean_weight == 0.0,
            "min_snr_gamma",
            "none beside controlnet.clean_weight: they weigh the time steps in opposite ways",
            "both",
        );
    }

    fn trained(&self) -> Trained {
        Trained::ControlNet
    }

    fn check_model(
        &self,
        model: &ModelFolder,
        (_, vae): (&UNetConfig, &VaeConfig),
    ) -> Result<(), TrainError> {
        let schedule = NoiseSchedule::read(&model.schedule()).map_err(ModelError::from)?;
        check_clean_weight(&schedule, self.clean_weight)?;
        match &self.path {
            Some(path) => check_files(path, &model.unet())?,
            None => _ = self.hint(model, vae.reduction())?,
        }
        Ok(())
    }

    fn reads(&self) -> Vec<(&'static str, &Path)> {
        self.path.iter().map(|path| ("controlnet.path", path.as_path())).collect()
    }
}

impl ControlNetSettings {
    /// Channels of a new network's layers that read the control image.
    fn hint(&self, model: &ModelFolder, reduction: usize) -> Result<Vec<usize>, ModelError> {
        let channels = self.channels.clone().or_else(|| ControlNetConfig::hint_for(reduction));
        channels.ok_or_else(|| ModelError::Folder {
            path: model.vae(),
            problem: format!(
                "has {reduction} pixels to a latent cell, and a ControlNet halves: a power of two is needed"
            ),
        })
    }
}

impl ControlSettings for ControlNetSettings {
    fn sampling(&self) -> Sampling {
        Sampling { timesteps: Timesteps::Uniform, clean_weight: self.clean_weight }
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

impl<B: Backend> TrainedControl<B> for ControlNet<B> {
    type Settings = ControlNetSettings;

    fn open(
        setup: &Setup<'_, B>,
        settings: &ControlNetSettings,
        params: &mut Params<B>,
    ) -> Result<Self, ModelError> {
        let unet = setup.model.unet();
        if let Some(path) = &settings.path {
            return Self::load(setup.backend, path, &unet, Trainable::All(params));
        }
        let reduction = VaeConfig::open(&setup.model.vae().join("config.json"))?.reduction();
        let channels = settings.hint(&setup.model, reduction)?;
        let seed = seed_of(setup.seed, Purpose::Control);
        Self::from_unet(setup.backend, &unet, &channels, (Start::Zero, seed), Trainable::All(params))
    }

    /// The norm of the last convolutions, which start at zero: while they are zero the network has no effect.
    fn measures(backend: &B, params: &Params<B>) -> Vec<(&'static str, f64)> {
        let zero =
            |name: &str| name.contains(".controlnet_down_blocks.") || name.contains(".controlnet_mid_block.");
        let squares = params
            .iter()
            .filter(|param| zero(&param.name))
            .map(|param| backend.read(&param.value).iter().map(|&v| f64::from(v).powi(2)).sum::<f64>());
        vec![("norm of the zero convolutions", squares.sum::<f64>().sqrt())]
    }
}
