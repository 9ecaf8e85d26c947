//! The denoising U-Net (`UNet2DConditionModel`) of SD 1.5, SD 2.x and SDXL, read from a diffusers folder.
//!
//! Latents and text go in, the prediction (noise or velocity) comes out. Images are `[N, H, W, C]`. Each
//! resnet and each transformer block is a checkpoint of the tape.

pub(crate) mod blocks;
mod check;
mod config;
mod context;
mod decoder;
pub(crate) mod embed;
mod encoder;
mod kv_cache;
mod residuals;

use std::path::{Path, PathBuf};

use fairhuman_engine::{Backend, DType, Params, Tape, Var};

pub(crate) use check::Given;
pub use config::{AddedConfig, UNetConfig};
pub(crate) use context::ContextCursor;
pub use context::{TextContext, TextKeyValues};
use decoder::Decoder;
pub(crate) use encoder::{Encoder, EncoderInput, TimestepEmbedding, downsample};
pub(crate) use kv_cache::TextAttentions;
pub use residuals::Residuals;

use crate::lora::{AdaptedModule, LoraSpec};
use crate::lora_file::LoraFile;
use crate::net::{Layers, ModelError, Plan, Trainable};
use crate::weights::WeightFiles;

const MODEL: &str = "U-Net";

/// A loaded U-Net.
pub struct UNet<B: Backend> {
    folder: PathBuf,
    config: UNetConfig,
    encoder: Encoder,
    decoder: Decoder,
    pub(crate) layers: Layers<B>,
}

/// Inputs of a U-Net.
pub struct UNetInput<B: Backend> {
    /// Noisy latents, `[N, h, w, C]`. Any size that the network can halve down to at least one position.
    pub latents: B::Tensor,
    /// Timestep of each sample.
    pub timesteps: Vec<f32>,
    /// The text of each sample.
    pub text: TextContext<B>,
    /// SDXL's added conditions; none for SD 1.5 and 2.x.
    pub added: Option<Added<B>>,
    /// Residuals of a ControlNet or T2I-Adapter.
    pub residuals: Residuals<B>,
}

/// SDXL's added conditions.
pub struct Added<B: Backend> {
    /// Pooled text embedding, `[N, P]`.
    pub pooled: Var<B>,
    /// Of each sample: original height and width, top and left of the crop, target height and width, in
    /// pixels.
    pub time_ids: Vec<[f32; 6]>,
}

/// All layers of the U-Net that a configuration describes.
pub fn plan(config: &UNetConfig) -> Plan {
    parts(config).0
}

/// Checks the files of a `unet/` folder, reading no weights: [`UNet::load`] takes them where this does.
///
/// # Errors
/// As [`UNet::load`].
pub fn check_files(folder: &Path) -> Result<UNetConfig, ModelError> {
    let config = UNetConfig::open(&folder.join("config.json"))?;
    plan(&config).check(&WeightFiles::open(folder)?, &[])?;
    Ok(config)
}

/// All layers and the two halves that compute with them.
fn parts(config: &UNetConfig) -> (Plan, Encoder, Decoder) {
    let mut plan = Plan::default();
    let encoder = Encoder::plan(config, &mut plan);
    let decoder = Decoder::plan(config, &mut plan, encoder.skip_channels());
    (plan, encoder, decoder)
}

/// Shapes `[h, w, C]` of a ControlNet's residuals of the skips, and of a T2I-Adapter's features with the one
/// of the middle, for latents of size `(h, w)`.
pub(crate) fn residual_shapes(
    config: &UNetConfig,
    latents: (usize, usize),
) -> (Vec<[usize; 3]>, Vec<[usize; 3]>) {
    let mut plan = Plan::default();
    let shapes = Encoder::plan(config, &mut plan).shapes(&plan, 1, latents);
    let one = |&[_, h, w, c]: &[usize; 4]| [h, w, c];
    let mid = shapes.has_mid.then_some(&shapes.mid);
    (shapes.skips.iter().map(one).collect(), shapes.features.iter().chain(mid).map(one).collect())
}

impl<B: Backend> UNet<B> {
    /// Reads `config.json` and the weights of a `unet/` folder. With [`Trainable::All`] every weight becomes
    /// a parameter named `unet.<tensor>`.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings that are not supported, tensors that are missing, left
    /// over or of another shape.
    pub fn load(backend: &B, folder: &Path, trainable: Trainable<'_, B>) -> Result<Self, ModelError> {
        let config = UNetConfig::open(&folder.join("config.json"))?;
        let files = WeightFiles::open(folder)?;
        let (plan, encoder, decoder) = parts(&config);
        let layers = Layers::load(backend, &files, plan, "unet", trainable, &[])?;
        Ok(Self { folder: folder.into(), config, encoder, decoder, layers })
    }

    /// Its configuration.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The folder that it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its layers by name.
    pub fn layers(&self) -> &Layers<B> {
        &self.layers
    }

    /// The prediction, `[N, h, w, out_channels]`.
    ///
    /// # Errors
    /// Inputs whose shapes do not fit the configuration or each other.
    pub fn forward<'m>(&'m self, tape: &mut Tape<'m, B>, input: &UNetInput<B>) -> Result<Var<B>, ModelError> {
        self.check(input)?;
        let net = &self.layers;
        let UNetInput { timesteps, added, residuals, .. } = input;
        let time = self.encoder.embed_time(net, tape, &self.config, timesteps, (added.as_ref(), None));
        let mut context = ContextCursor::new(&input.text);
        let latents = Var::constant(input.latents.clone());
        let input =
            EncoderInput { latents: &latents, time: &time, hint: None, features: &residuals.features };
        let encoded = self.encoder.forward(net, tape, &input, &mut context);
        let encoded = residuals.add_to(tape, encoded);
        Ok(self.decoder.forward(net, tape, encoded, &time, &mut context))
    }

    /// Keys and values of text embeddings `[N, T, D]`, with the network's LoRAs as `params` has them;
    /// constants, for passes without gradients.
    ///
    /// # Errors
    /// Embeddings of another width.
    pub fn cache_text(
        &self,
        backend: &B,
        params: &Params<B>,
        embeddings: &B::Tensor,
    ) -> Result<TextKeyValues<B>, ModelError> {
        self.text_attentions().cache(backend, params, embeddings)
    }

    fn text_attentions(&self) -> TextAttentions<'_, B> {
        TextAttentions {
            model: MODEL,
            layers: &self.layers,
            transformers: self.encoder.transformers().chain(self.decoder.transformers()).collect(),
            width: self.config.text_width,
        }
    }

    fn check(&self, input: &UNetInput<B>) -> Result<(), ModelError> {
        let (n, size) = Given {
            latents: B::shape(&input.latents),
            timesteps: &input.timesteps,
            text: &input.text,
            added: input.added.as_ref(),
        }
        .check(&self.config, &self.text_attentions())?;
        input.residuals.check(MODEL, &self.encoder.shapes(self.layers.plan(), n, size))
    }
}

impl<B: Backend> UNet<B> {
    /// Adds a fresh LoRA; see [`Layers::add_lora`]. Parameters are called `lora.<module>.lora_A.weight` and
    /// `lora.<module>.lora_B.weight`.
    ///
    /// # Errors
    /// Rank 0, a target that names no module, a module that already has a LoRA.
    pub fn add_lora(
        &mut self,
        backend: &B,
        params: &mut Params<B>,
        spec: &LoraSpec,
    ) -> Result<Vec<AdaptedModule>, ModelError> {
        self.layers.add_lora(backend, params, "lora", spec)
    }

    /// Puts LoRA files, each times its weight, onto this network; see [`Layers::attach_lora`]. Modules of
    /// other kinds change its weights; see [`Layers::change`].
    ///
    /// # Errors
    /// A module that the network lacks, factors of another shape, a module that already has a LoRA.
    pub fn attach_lora(
        &mut self,
        backend: &B,
        params: &mut Params<B>,
        files: &[(&LoraFile, f32)],
    ) -> Result<Vec<AdaptedModule>, ModelError> {
        if files.iter().any(|(file, _)| !file.others.is_empty()) {
            self.layers.change(backend, &WeightFiles::open(&self.folder)?, "unet", files)?;
        }
        self.layers.attach_lora(backend, params, "lora", "unet", files)
    }

    /// The current values of `modules`, to be written with [`crate::lora_file::write_lora`].
    ///
    /// # Errors
    /// A module that is not in this network.
    pub fn export_lora(
        &self,
        backend: &B,
        params: &Params<B>,
        modules: &[AdaptedModule],
        dtype: DType,
    ) -> Result<LoraFile, ModelError> {
        self.layers.export_lora(backend, params, "unet", modules, dtype)
    }

    /// Paths of all modules that can carry a LoRA, with `unet.` before them: what
    /// [`crate::lora_file::read_lora`] looks names up in.
    pub fn lora_modules(&self) -> Vec<String> {
        self.layers.plan().adapted_modules().map(|module| format!("unet.{module}")).collect()
    }
}
