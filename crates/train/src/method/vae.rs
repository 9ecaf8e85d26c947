//! `method = "vae"`: the autoencoder, or its decoder. The losses are in [`crate::autoencoder`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairhuman_dataset::{Dataset, Wanted};
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::vae::{AutoencoderKl, VaeConfig, clamp_log_variance};
use fairhuman_diffusion::weights::{WeightError, write_json};
use fairhuman_engine::{Backend, DType, Params, Tape, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::whole_model::{NETWORK, write_layers, write_model};
use super::{LossSpace, Method, Settings, Setup};
use crate::autoencoder::{Autoencoder, AutoencoderInputs, Losses, Part};
use crate::batch::{Batch, Targets};
use crate::data::{Data, DataError, DrawKey, Picture, Preparing, Reader, Source};
use crate::error::TrainError;
use crate::memory::Trained;
use crate::problems::Problems;
use crate::random::{Purpose, normal, stream};
use crate::recipe::bounds;

/// Pictures that the latents' standard deviation is measured on.
const MEASURED: usize = 256;

/// `[vae]`: an objective is the mean squared error of the pictures that come out (RGB in [-1, 1], masks in
/// pixels), plus `edges` times that of their differences between neighbouring pixels; objectives without a
/// mask also have `kl` times the divergence of the latents' distribution from N(0, 1), a mean over latent
/// elements. The run folder gets a whole model folder, `model`. With `part = "all"` its U-Net no longer fits
/// its autoencoder.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The trained part: `"all"` (default), or `"decoder"`, after which latents mean what they meant and
    /// every U-Net still fits: pictures come out sharper, faces and hands above all if they are objectives.
    /// `kl` then has no part.
    pub part: Option<Part>,
    /// Weight of the divergence (Kingma and Welling 2014). More makes latents easier to learn for a U-Net and
    /// pictures less sharp. Default 1e-4.
    pub kl: Option<f64>,
    /// Weight of the neighbours' differences: what is small and sharp counts more. Default 1.
    pub edges: Option<f64>,
    /// Type of the written weights, as in `[full]`.
    #[serde(default)]
    #[schemars(schema_with = "crate::recipe::schema::stored_type")]
    pub dtype: Option<DType>,
}

/// Settings of an autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Vae {
    /// The trained part and the weights of its losses.
    #[serde(flatten)]
    pub losses: Losses,
    /// Type of the written weights.
    pub dtype: DType,
}

impl Settings for Vae {
    const NAME: &'static str = "vae";
    const WRITES: &'static [&'static str] = &["model"];
    const SPACE: LossSpace = LossSpace::Pixels;
    const FREE_KEYS: &'static [&'static str] = &["dtype"];
    type Table = Table;
    type Network<B: Backend> = Autoencoder<B>;

    fn resolve(table: Table, _: &Path, problems: &mut Problems) -> Self {
        let losses = Losses {
            part: table.part.unwrap_or_default(),
            kl: table.kl.unwrap_or(1e-4),
            edges: table.edges.unwrap_or(1.0),
        };
        problems.within(0.0..=bounds::FACTOR, "vae.kl", losses.kl);
        problems.within(0.0..=bounds::FACTOR, "vae.edges", losses.edges);
        Self { losses, dtype: table.dtype.unwrap_or_default() }
    }

    fn trained(&self) -> Trained {
        Trained::Autoencoder { decoder_only: self.losses.part == Part::Decoder }
    }
}

/// Reads pictures as the samples that they are.
pub struct PictureReader {
    seed: u64,
    config: VaeConfig,
}

impl Reader for PictureReader {
    type Read = Batch<AutoencoderInputs>;

    fn mask_cell(&self) -> usize {
        1
    }

    fn wanted(&self) -> Wanted {
        Wanted { conditioning: false, ..Wanted::ALL }
    }

    fn read(&self, picture: &Picture<'_>, key: DrawKey) -> Result<Self::Read, DataError> {
        let (sample, reduction) = (picture.sample, self.config.reduction());
        let cells = (sample.height / reduction) * (sample.width / reduction);
        let noise = match key {
            DrawKey::Step { step, slot } => {
                let mut rng = stream(self.seed, Purpose::Posterior, step, slot);
                Some(normal(&mut rng, cells * self.config.latent_channels))
            }
            DrawKey::HeldOut { .. } => None,
        };
        let targets = Targets {
            size: 1,
            height: sample.height,
            width: sample.width,
            channels: 3,
            values: sample.image.clone(),
            masks: Vec::new(),
            weights: vec![1.0],
            names: Vec::new(),
        };
        Ok(Batch { targets, inputs: AutoencoderInputs { noise } })
    }
}

/// The pictures themselves as samples.
pub struct PictureSource(Arc<PictureReader>);

impl<B: Backend> Source<B> for PictureSource {
    type Inputs = AutoencoderInputs;
    type Reader = PictureReader;

    fn reader(&self) -> &Arc<PictureReader> {
        &self.0
    }

    /// An autoencoder's held-out losses depend on the picture alone.
    fn validation_draws(&self, _: usize) -> usize {
        1
    }

    fn sample(
        &mut self,
        _: &B,
        read: Batch<AutoencoderInputs>,
    ) -> Result<Batch<AutoencoderInputs>, DataError> {
        Ok(read)
    }
}

impl<B: Backend> Method<B> for Autoencoder<B> {
    type Settings = Vae;
    type Source = PictureSource;

    fn source(
        setup: &Setup<'_, B>,
        _: &Vae,
        _: &Dataset,
        _: Preparing<'_>,
    ) -> Result<PictureSource, DataError> {
        let config = VaeConfig::open(&setup.model.vae().join("config.json"))?;
        if (config.in_channels, config.out_channels) != (3, 3) {
            let found = format!("{} and {}", config.in_channels, config.out_channels);
            let text = format!("expected an autoencoder of RGB pictures, found one with {found} channels");
            return Err(DataError::Problem(text));
        }
        setup.geometry.check(config.reduction())?;
        Ok(PictureSource(Arc::new(PictureReader { seed: setup.seed, config })))
    }

    fn open(setup: &Setup<'_, B>, settings: &Vae, params: &mut Params<B>) -> Result<Self, ModelError> {
        let trainable = match settings.losses.part {
            Part::All => Trainable::All(params),
            Part::Decoder => Trainable::Parts(params, &AutoencoderKl::<B>::DECODER),
        };
        let vae = AutoencoderKl::load(setup.backend, &setup.model.vae(), trainable)?;
        Ok(Self { vae, losses: settings.losses })
    }

    fn painter(&self) -> Option<super::Painter<'_, B>> {
        None
    }

    fn export(
        &self,
        setup: &Setup<'_, B>,
        settings: &Vae,
        params: &Params<B>,
        data: &Data<'_, B, PictureSource>,
    ) -> Result<Vec<PathBuf>, TrainError> {
        // What makes latents about as large as the noise, as SD's 0.18215 does; a fixed encoder's are as they
        // were.
        let factor = match settings.losses.part {
            Part::All => Some(1.0 / latent_deviation(setup.backend, &self.vae, params, data)?),
            Part::Decoder => None,
        };
        write_model(setup, &["vae"], |component, to| {
            write_layers(setup, self.vae.layers(), params, component, (to, NETWORK), settings.dtype)?;
            factor.map_or(Ok(()), |factor| set_scaling_factor(&to.join("config.json"), factor))
        })
    }
}

/// Standard deviation of an autoencoder's latents over the first pictures of the training set.
fn latent_deviation<B: Backend>(
    backend: &B,
    vae: &AutoencoderKl<B>,
    params: &Params<B>,
    data: &Data<'_, B, PictureSource>,
) -> Result<f64, DataError> {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for picture in data.pictures(MEASURED) {
        let (shape, pixels) = picture?;
        let picture = backend.tensor(&shape, &pixels);
        let moments = backend.scope(|| {
            let mut tape = Tape::inference(backend, params);
            let moments = vae.encode(&mut tape, &Var::constant(picture))?;
            Ok::<_, ModelError>(backend.read(moments.value()))
        })?;
        let channels = vae.config().latent_channels;
        for cell in moments.chunks_exact(2 * channels) {
            for (&mean, &log_variance) in cell[..channels].iter().zip(&cell[channels..]) {
                let mean = f64::from(mean);
                count += 1.0;
                sum += mean;
                squares += mean * mean + f64::from(clamp_log_variance(log_variance).0).exp();
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

fn set_scaling_factor(path: &Path, factor: f64) -> Result<(), ModelError> {
    let io = |source| ModelError::Weights(WeightError::Io { path: path.into(), source });
    let text = fairhuman_files::read(path).map_err(io)?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|e| io(e.into()))?;
    config["scaling_factor"] = json!(factor);
    if config.get("shift_factor").is_some() {
        config["shift_factor"] = json!(0.0);
    }
    Ok(write_json(path, &config)?)
}
