//! The memory that training will need, from configurations and settings alone, before anything is read.
//!
//! The network's forward pass is gone through block by block for what its backward pass keeps, then backwards
//! for the most that is held at once: what is kept and not yet used, the cotangents of all lanes, and with
//! checkpointing the block that is computed again. With libtorch activations and frozen weights are of the
//! run's precision; what a backend needs beside them (packed weights, pieces of products) is small or
//! stated. `tests/it/memory.rs` of the command line holds this to measured peaks, within a factor of 1.3.

mod blocks;
mod networks;

use fairhuman_dataset::GeometrySpec;
use fairhuman_diffusion::adapter::{AdapterConfig, AdapterKind};
use fairhuman_diffusion::clip::ClipConfig;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;

use crate::method::{Settings, Visitor};
use crate::recipe::{Device, GradientUse, Precision, Recipe};
use networks::{autoencoder, parameters, unet};

/// Bytes of a value.
const VALUE: f64 = 4.0;
/// Held by a process before it has a model: the program, its threads, buffers.
const PROCESS: f64 = 40.0 * MIB;
/// Vocabularies of the texts' tokenizers.
const TOKENIZERS: f64 = 20.0 * MIB;
/// Held on a card before there is a model: CUDA's own, and its libraries' kernels.
const CONTEXT: f64 = 600.0 * MIB;
const MIB: f64 = 1_048_576.0;
/// Bytes of frozen weights that are kept as f32; those beyond stay in their file's type, here 16 bits.
const WIDENED: f64 = 2048.0 * MIB;

/// The configurations of a model.
#[derive(Debug, Clone)]
pub struct Networks {
    /// The U-Net's.
    pub unet: UNetConfig,
    /// The autoencoder's.
    pub vae: VaeConfig,
    /// The text encoders'.
    pub texts: Vec<ClipConfig>,
}

impl Networks {
    /// Reads the configurations of a model folder.
    ///
    /// # Errors
    /// Files that cannot be read, values that no network has.
    pub fn open(folder: &ModelFolder) -> Result<Self, ModelError> {
        let config = |folder: &std::path::Path| folder.join("config.json");
        let texts = folder.texts().into_iter().map(|(_, encoder, _)| ClipConfig::open(&config(&encoder)));
        Ok(Self {
            unet: UNetConfig::open(&config(&folder.unet()))?,
            vae: VaeConfig::open(&config(&folder.vae()))?,
            texts: texts.collect::<Result<_, _>>()?,
        })
    }
}

/// The trained part of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Trained {
    /// An adapter of the U-Net: its rank, and the ends of the adapted modules' names.
    Adapter(usize, Vec<String>),
    /// The whole U-Net.
    UNet {
        /// And the text encoders.
        text_encoders: bool,
    },
    /// A ControlNet beside the frozen U-Net.
    ControlNet,
    /// A T2I-Adapter beside the frozen U-Net; none: of the kind for the model's family.
    T2iAdapter(Option<AdapterKind>),
    /// The autoencoder.
    Autoencoder {
        /// Only its decoder.
        decoder_only: bool,
    },
}

/// The settings that memory depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    /// The trained part.
    pub trained: Trained,
    /// Number of objectives.
    pub objectives: usize,
    /// Samples per pass.
    pub batch: usize,
    /// Passes per step.
    pub accumulation: usize,
    /// Gradients kept within a step.
    pub gradients: GradientUse,
    /// Width and height of the pictures in pixels.
    pub size: (u32, u32),
    /// Activations are computed again in the backward pass.
    pub checkpointing: bool,
    /// There are moving averages of the trained values.
    pub averages: bool,
    /// Width and height of the pictures of `[samples]`.
    pub previews: Option<(u32, u32)>,
    /// Where it runs.
    pub device: Device,
    /// Type of activations and frozen weights.
    pub precision: Precision,
}

impl Sizes {
    /// Those of a recipe, for its largest pictures.
    pub fn of(recipe: &Recipe) -> Self {
        struct Of;
        impl Visitor<'_> for Of {
            type Output = Trained;
            fn visit<S: Settings>(self, settings: &S) -> Trained {
                settings.trained()
            }
        }
        Self {
            trained: recipe.method.visit(Of),
            objectives: recipe.objective.len(),
            batch: recipe.batch,
            accumulation: recipe.accumulation,
            gradients: recipe.gradients,
            size: largest(&recipe.geometry),
            checkpointing: recipe.activation_checkpointing,
            averages: recipe.ema.is_some(),
            previews: recipe.samples.as_ref().map(|samples| (samples.width, samples.height)),
            device: recipe.device,
            precision: recipe.precision(),
        }
    }

    /// Bytes of an activation. Our own kernels round what they multiply, and keep f32.
    fn value(&self) -> f64 {
        match self.device {
            Device::Cpu => VALUE,
            Device::TorchCpu | Device::Cuda(_) => self.precision.bytes() as f64,
        }
    }

    /// Bytes of frozen weights: those of the network that is trained or steered, and those that are always
    /// f32.
    fn frozen(&self, steered: f64, exact: f64) -> f64 {
        match self.device {
            Device::Cpu => widened(steered + exact),
            Device::TorchCpu | Device::Cuda(_) => self.value() * steered + VALUE * exact,
        }
    }

    /// Bytes that there are before any model.
    fn process(&self) -> f64 {
        let reads_texts = !matches!(self.trained, Trained::Autoencoder { .. });
        match self.device {
            Device::Cuda(_) => CONTEXT,
            Device::Cpu | Device::TorchCpu if reads_texts => PROCESS + TOKENIZERS,
            Device::Cpu | Device::TorchCpu => PROCESS,
        }
    }
}

/// The size with the most pixels.
fn largest(geometry: &GeometrySpec) -> (u32, u32) {
    let sizes = geometry.sizes();
    let pixels = |&(width, height): &(u32, u32)| u64::from(width) * u64::from(height);
    sizes.into_iter().max_by_key(pixels).unwrap_or((geometry.width, geometry.height))
}

/// Bytes by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// The program, or CUDA on a card.
    pub process: f64,
    /// Frozen weights.
    pub weights: f64,
    /// Trained values.
    pub values: f64,
    /// Gradients of all objectives, and the one that they become.
    pub gradients: f64,
    /// AdamW's moments.
    pub moments: f64,
    /// Moving averages of the trained values.
    pub averages: f64,
    /// The most that a pass holds at once: activations that are kept, and cotangents.
    pub activations: f64,
    /// The autoencoder at work on one picture, before the pass.
    pub encoding: f64,
    /// Drawing a picture of `[samples]`, with the text encoders.
    pub previews: f64,
    /// The text encoders, which leave the memory before the first step.
    pub captions: f64,
    /// Latents and embeddings of a step.
    pub data: f64,
}

impl Estimate {
    /// The most that is held at once.
    pub fn peak(&self) -> f64 {
        let held = self.weights + self.values + self.moments + self.averages + self.data;
        let step = self.gradients + self.activations;
        self.process + self.captions.max(held + step.max(self.encoding).max(self.previews))
    }

    /// The largest parts, with their names, largest first.
    pub fn parts(&self) -> Vec<(&'static str, f64)> {
        let mut parts = vec![
            ("weights", self.weights),
            ("trained values", self.values),
            ("gradients", self.gradients),
            ("moments", self.moments),
            ("averages", self.averages),
            ("activations", self.activations),
            ("encoding pictures", self.encoding),
            ("encoding captions", self.captions),
            ("[samples]", self.previews),
            ("data", self.data),
            ("the program", self.process),
        ];
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        parts
    }
}

/// Estimates the memory of a run.
pub fn estimate(networks: &Networks, sizes: &Sizes) -> Estimate {
    let Networks { unet: config, vae, texts } = networks;
    let (batch, objectives) = (sizes.batch as f64, sizes.objectives as f64);
    let (width, height) = (sizes.size.0 as usize, sizes.size.1 as usize);
    let reduction = vae.reduction();
    let latents = (height / reduction, width / reduction);
    let cells = (latents.0 * latents.1) as f64;
    let text_values: f64 = texts.iter().map(|text| parameters(&fairhuman_diffusion::clip::plan(text))).sum();
    let unet_values = parameters(&fairhuman_diffusion::unet::plan(config));
    let vae_values = parameters(&fairhuman_diffusion::vae::plan(vae));
    let (steered, exact, trained, pass) = match &sizes.trained {
        Trained::Adapter(rank, targets) => {
            let values = networks::adapter(&fairhuman_diffusion::unet::plan(config), *rank, targets);
            (
                unet_values,
                vae_values,
                values,
                unet(config, latents, blocks::Kept::Adapter { rank: *rank, targets }),
            )
        }
        Trained::UNet { text_encoders } => {
            let texts = if *text_encoders { text_values } else { 0.0 };
            (0.0, vae_values, unet_values + texts, unet(config, latents, blocks::Kept::All))
        }
        // Its half of the U-Net keeps what its own gradients need.
        Trained::ControlNet => {
            let values = networks::controlnet(&fairhuman_diffusion::unet::plan(config));
            (unet_values, vae_values, values, unet(config, latents, blocks::Kept::All))
        }
        Trained::T2iAdapter(kind) => {
            let usual = if config.added.is_some() { AdapterKind::FullXl } else { AdapterKind::Full };
            let adapter = AdapterConfig::of_unet(kind.unwrap_or(usual), &config.channels, reduction);
            let values = parameters(&fairhuman_diffusion::adapter::plan(&adapter));
            let kept = blocks::Kept::Adapter { rank: 0, targets: &[] };
            (unet_values, vae_values, values, unet(config, latents, kept))
        }
        Trained::Autoencoder { decoder_only } => {
            (0.0, 0.0, vae_values, autoencoder(vae, (height, width), *decoder_only))
        }
    };
    let passes = if sizes.accumulation > 1 { 2.0 } else { 1.0 };
    let kept = if sizes.gradients == GradientUse::Twice { 0.0 } else { objectives };
    let is_vae = matches!(sizes.trained, Trained::Autoencoder { .. });
    let prompt = if is_vae { 0.0 } else { (77 * config.text_width) as f64 };
    let sample = match is_vae {
        true => 3.0 * (width * height) as f64,
        false => 3.0 * (config.in_channels as f64) * cells + prompt,
    };
    // Masks are of the size of the targets.
    let masks = objectives * if is_vae { (width * height) as f64 } else { cells };
    let copies = 2.0;
    Estimate {
        process: sizes.process(),
        weights: sizes.frozen(steered, exact),
        // Beside 16-bit activations trained values have a 16-bit copy.
        values: (VALUE + if sizes.value() < VALUE { sizes.value() } else { 0.0 }) * trained,
        gradients: VALUE * trained * (kept * passes + 1.0),
        moments: VALUE * 2.0 * trained,
        averages: if sizes.averages { VALUE * trained } else { 0.0 },
        activations: sizes.value() * blocks::peak(&pass, batch, batch * objectives, sizes.checkpointing),
        encoding: if is_vae { 0.0 } else { VALUE * networks::encoding(vae, (height, width)) },
        previews: sizes
            .previews
            .map_or(0.0, |size| drawing(networks, size, (1, sizes.value())) + sizes.frozen(0.0, text_values)),
        captions: if is_vae { 0.0 } else { sizes.frozen(0.0, text_values) },
        data: VALUE * copies * batch * sizes.accumulation as f64 * (sample + masks),
    }
}

/// Estimates the memory of sampling `batch` pictures of a size (width, height) at a time.
pub fn sampling(networks: &Networks, size: (u32, u32), batch: usize) -> f64 {
    let Networks { unet: config, vae, texts } = networks;
    let texts: f64 = texts.iter().map(|text| parameters(&fairhuman_diffusion::clip::plan(text))).sum();
    let others = parameters(&fairhuman_diffusion::unet::plan(config))
        + parameters(&fairhuman_diffusion::vae::plan(vae));
    PROCESS + TOKENIZERS + widened(texts + others) + drawing(networks, size, (batch, VALUE))
}

/// Bytes that passes through the U-Net, with activations of `value` bytes, and the decoder hold beside the
/// weights.
fn drawing(networks: &Networks, (width, height): (u32, u32), (batch, value): (usize, f64)) -> f64 {
    let Networks { unet: config, vae, .. } = networks;
    let (height, width) = (height as usize, width as usize);
    let latents = (height / vae.reduction(), width / vae.reduction());
    let blocks = unet(config, latents, blocks::Kept::Adapter { rank: 0, targets: &[] });
    // A prompt and its negative prompt.
    let denoising = 2.0 * batch as f64 * blocks::inference(&blocks);
    (value * denoising).max(VALUE * networks::decoding(vae, (height, width)))
}

/// Bytes of frozen weights.
fn widened(values: f64) -> f64 {
    let bytes = VALUE * values;
    if bytes <= WIDENED { bytes } else { WIDENED + 0.5 * (bytes - WIDENED) }
}
