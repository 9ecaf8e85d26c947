//! The autoencoder (`AutoencoderKL`): pictures to latents and back.
//!
//! Everything is f32, so `force_upcast` asks for nothing. Pictures are `[N, H, W, 3]` in [-1, 1].

mod structure;

use std::path::{Path, PathBuf};

use fairhuman_engine::{Backend, Tape, Var};
use serde_json::{Value, json};

use crate::config_check::{Config, ConfigError};
use crate::net::{Layers, ModelError, Plan, Trainable};
use crate::weights::WeightFiles;
use structure::Structure;

const MODEL: &str = "VAE";

/// Bounds of log-variances, those of diffusers' DiagonalGaussianDistribution.
const LOG_VARIANCE: (f32, f32) = (-30.0, 20.0);

/// A log-variance of the encoder as the distribution of latents has it: clamped to [-30, 20], as diffusers
/// does. The second value is true if the clamp left it as it was, so that a gradient passes.
pub fn clamp_log_variance(log_variance: f32) -> (f32, bool) {
    let (low, high) = LOG_VARIANCE;
    (log_variance.clamp(low, high), (low..=high).contains(&log_variance))
}

/// Settings of an autoencoder.
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of pictures that go in.
    pub in_channels: usize,
    /// Channels of pictures that come out.
    pub out_channels: usize,
    /// Channels of each block of the encoder; the decoder mirrors them.
    pub channels: Vec<usize>,
    /// Resnets of each encoder block; a decoder block has one more.
    pub layers: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Groups of every group normalisation.
    pub groups: usize,
    /// Latents are multiplied by this for the U-Net.
    pub scaling_factor: f64,
    /// Subtracted from latents before they are scaled.
    pub shift_factor: f64,
    /// True if a 1x1 convolution ends the encoder.
    pub quant_conv: bool,
    /// True if a 1x1 convolution begins the decoder.
    pub post_quant_conv: bool,
    /// True if the middle blocks have attention.
    pub middle_attends: bool,
}

impl VaeConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// A file that cannot be read, a key with an impossible value, a key that asks for mathematics that is
    /// not here.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        Self::read(Config::read(path)?)
    }

    /// Reads settings that are already parsed; `path` serves the messages.
    ///
    /// # Errors
    /// As [`VaeConfig::open`].
    pub fn from_value(path: &Path, value: Value) -> Result<Self, ConfigError> {
        Self::read(Config::from_value(path, value)?)
    }

    fn read(mut c: Config) -> Result<Self, ConfigError> {
        if let Some(class) = c.take("_class_name").filter(|v| v != "AutoencoderKL") {
            return Err(c.unsupported("_class_name", class, "\"AutoencoderKL\""));
        }
        let channels = c.usizes("block_out_channels")?.unwrap_or(vec![64]);
        if channels.is_empty() {
            return Err(c.wrong("block_out_channels", "at least one block", "none"));
        }
        for (key, class) in
            [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")]
        {
            let types = c.strings(key)?.unwrap_or(vec![class.to_owned()]);
            if let Some(other) = types.iter().find(|t| *t != class) {
                return Err(c.unsupported(key, other, class));
            }
            if types.len() != channels.len() {
                let expected = format!("{} blocks, as block_out_channels has", channels.len());
                return Err(c.wrong(key, expected, types.len()));
            }
        }
        c.only("act_fn", &[json!("silu"), json!("swish")])?;
        c.only("latents_mean", &[])?;
        c.only("latents_std", &[])?;
        c.ignore(&["sample_size", "force_upcast"]);
        let config = Self {
            in_channels: c.usize("in_channels")?.unwrap_or(3),
            out_channels: c.usize("out_channels")?.unwrap_or(3),
            layers: c.usize("layers_per_block")?.unwrap_or(1),
            latent_channels: c.usize("latent_channels")?.unwrap_or(4),
            groups: c.usize("norm_num_groups")?.unwrap_or(32),
            scaling_factor: c.f64("scaling_factor")?.unwrap_or(0.18215),
            shift_factor: c.f64("shift_factor")?.unwrap_or(0.0),
            quant_conv: c.bool("use_quant_conv")?.unwrap_or(true),
            post_quant_conv: c.bool("use_post_quant_conv")?.unwrap_or(true),
            middle_attends: c.bool("mid_block_add_attention")?.unwrap_or(true),
            channels,
        };
        if let Some(w) = config.channels.iter().find(|&&w| w % config.groups != 0) {
            let expected = format!("a number of groups that divides the channels, here {w}");
            return Err(c.wrong("norm_num_groups", expected, config.groups));
        }
        if config.scaling_factor.abs() < 1e-6 {
            let expected = "a number other than 0, of at least 0.000001";
            return Err(c.wrong("scaling_factor", expected, config.scaling_factor));
        }
        c.finish()?;
        Ok(config)
    }

    /// Picture positions per latent position, in one direction: 8 for Stable Diffusion.
    pub fn reduction(&self) -> usize {
        1 << (self.channels.len() - 1)
    }
}

/// All layers of the autoencoder that a configuration describes.
pub fn plan(config: &VaeConfig) -> Plan {
    let mut plan = Plan::default();
    Structure::new(config, &mut plan);
    plan
}

/// Checks the files of a `vae/` folder, reading no weights: [`AutoencoderKl::load`] takes them where this
/// does.
///
/// # Errors
/// As [`AutoencoderKl::load`].
pub fn check_files(folder: &Path) -> Result<VaeConfig, ModelError> {
    let config = VaeConfig::open(&folder.join("config.json"))?;
    plan(&config).check(&WeightFiles::open(folder)?, &[])?;
    Ok(config)
}

/// A loaded autoencoder.
pub struct AutoencoderKl<B: Backend> {
    config: VaeConfig,
    structure: Structure,
    layers: Layers<B>,
    folder: PathBuf,
}

impl<B: Backend> AutoencoderKl<B> {
    /// Prefixes of the decoder's tensors.
    pub const DECODER: [&'static str; 2] = ["decoder.", "post_quant_conv."];

    /// Reads `config.json` and the weights of a `vae/` folder. With [`Trainable::All`] every weight becomes a
    /// parameter named `vae.<tensor>`.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings that are not supported, tensors that are missing, left
    /// over or of another shape.
    pub fn load(backend: &B, folder: &Path, trainable: Trainable<'_, B>) -> Result<Self, ModelError> {
        let config = VaeConfig::open(&folder.join("config.json"))?;
        let files = WeightFiles::open(folder)?;
        let mut plan = Plan::default();
        let structure = Structure::new(&config, &mut plan);
        let layers = Layers::load(backend, &files, plan, "vae", trainable, &[])?;
        Ok(Self { config, structure, layers, folder: folder.into() })
    }

    /// Its configuration.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Its layers by name.
    pub fn layers(&self) -> &Layers<B> {
        &self.layers
    }

    /// Means and log-variances of the latents of `pictures [N, H, W, in]`: `[N, h, w, 2 * latent_channels]`,
    /// means first, neither scaled nor clamped (see [`clamp_log_variance`]).
    ///
    /// # Errors
    /// Pictures with other channels, or smaller than one latent position.
    pub fn encode<'m>(&'m self, tape: &mut Tape<'m, B>, pictures: &Var<B>) -> Result<Var<B>, ModelError> {
        let (shape, least) = (pictures.shape(), self.config.reduction());
        if !matches!(*shape, [n, h, w, c] if n > 0 && h >= least && w >= least && c == self.config.in_channels)
        {
            let expected = format!("[N, H, W, {}] with sides of at least {least}", self.config.in_channels);
            return Err(ModelError::shape(MODEL, "pictures", shape, &expected));
        }
        let moments = self.structure.encoder.forward(&self.layers, tape, pictures);
        Ok(self.structure.quant(&self.layers, tape, moments))
    }

    /// [`AutoencoderKl::encode`] for use: the latents' means and log-variances, clamped, as values of NHWC
    /// tensors `[N, h, w, latent_channels]`.
    ///
    /// # Errors
    /// As [`AutoencoderKl::encode`].
    pub fn encode_moments(
        &self,
        backend: &B,
        pictures: &B::Tensor,
    ) -> Result<(B::Tensor, Vec<f32>), ModelError> {
        let params = fairhuman_engine::Params::default();
        let mut tape = Tape::inference(backend, &params);
        let moments = self.encode(&mut tape, &Var::constant(pictures.clone()))?;
        let (mean, log_variance) = backend.split(moments.value(), self.config.latent_channels);
        let log_variance = backend.read(&log_variance);
        if log_variance.iter().any(|v| !v.is_finite())
            && let Some(damaged) = WeightFiles::open(&self.folder)?.find_not_finite()
        {
            return Err(damaged.into());
        }
        let log_variance = log_variance.into_iter().map(|v| clamp_log_variance(v).0).collect();
        Ok((mean, log_variance))
    }

    /// Pictures of `latents [N, h, w, latent_channels]` (not scaled for the U-Net): `[N, H, W, out]`, about
    /// within [-1, 1].
    ///
    /// # Errors
    /// Latents with other channels.
    pub fn decode<'m>(&'m self, tape: &mut Tape<'m, B>, latents: &Var<B>) -> Result<Var<B>, ModelError> {
        let shape = latents.shape();
        if !matches!(*shape, [n, h, w, c] if n > 0 && h > 0 && w > 0 && c == self.config.latent_channels) {
            let expected = format!("[N, h, w, {}]", self.config.latent_channels);
            return Err(ModelError::shape(MODEL, "latents", shape, &expected));
        }
        let latents = self.structure.post_quant(&self.layers, tape, latents);
        Ok(self.structure.decoder.forward(&self.layers, tape, &latents))
    }

    /// The factor and shift between the autoencoder's latents z and the U-Net's: `(z - shift) * factor`.
    pub fn scaling(&self) -> (f64, f64) {
        (self.config.scaling_factor, self.config.shift_factor)
    }
}
