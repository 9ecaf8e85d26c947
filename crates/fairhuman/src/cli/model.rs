//! The words of the commands that make model folders.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ModelChoice, Network};

/// `fairhuman init-model`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fairhuman init-model --preset mini --out models/mini

The weights are random: the model draws nothing. It has every part of an SDXL folder, and trains.")]
pub struct InitModel {
    /// Size of the model
    #[arg(long, value_enum, default_value_t = Preset::Tiny)]
    pub preset: Preset,
    /// The model's folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Seed of the weights
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    /// Type of the stored weights
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
}

/// `fairhuman init-control`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman init-control --model models/sdxl --kind controlnet --out pose
  fairhuman init-control --model models/sdxl --kind t2i-xl --out adapter \\
      --file adapter.safetensors

A ControlNet starts as a copy of the model's U-Net and changes no picture until it is trained; with --random it does. \
A T2I-Adapter is random. The folder is one of diffusers; sizes follow from the model.")]
pub struct InitControl {
    #[command(flatten)]
    pub model: ModelChoice,
    /// Kind of network
    #[arg(long, value_enum, default_value_t = ControlKind::Controlnet)]
    pub kind: ControlKind,
    /// The network's folder, a new or empty one
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write one .safetensors file, too
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Also draw the layers of a ControlNet that start at zero: for tests
    #[arg(long)]
    pub random: bool,
    /// Seed of the weights
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    /// Type of the stored weights
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
}

/// Kinds of control networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ControlKind {
    /// A ControlNet: a copy of half of the U-Net
    Controlnet,
    /// A T2I-Adapter of Stable Diffusion 1.5 and 2.x
    T2iFull,
    /// A T2I-Adapter of SDXL
    T2iXl,
    /// A T2I-Adapter of Stable Diffusion 1.5 and 2.x with a fifth of the parameters
    T2iLight,
}

/// Sizes of random models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// 2 million parameters in the U-Net: tests in seconds
    Tiny,
    /// 9 million: every weight of it is trained on a laptop
    Small,
    /// 37 million: SDXL's shape at a size that trains on a laptop
    Mini,
    /// SDXL's own sizes, 2.6 billion (bf16: 7 GB on disk)
    Sdxl,
}

/// Types of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// 32 bits
    F32,
    /// 16 bits, IEEE
    F16,
    /// 16 bits, bfloat
    Bf16,
}

/// `fairhuman merge`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fairhuman merge --model models/sdxl --lora runs/people/lora.safetensors \\
      --out models/people

The new folder is a whole model in diffusers' layout; every tensor keeps its type, and weights of a variant (fp16) get \
plain names. It appears when all of it is there. \
With a name that ends in .safetensors it is one checkpoint file, for A1111, ComfyUI and the model sites.")]
pub struct Merge {
    #[command(flatten)]
    pub model: ModelChoice,
    /// A LoRA file, by kohya, PEFT or diffusers; again for more
    #[arg(long, value_name = "FILE|NAME", required = true, value_parser = super::networks::network)]
    pub lora: Vec<Network>,
    /// Weight of the LoRA, once for each --lora [default: 1]
    #[arg(long, value_name = "W", allow_negative_numbers = true, value_parser = super::factor::<f32>)]
    pub lora_weight: Vec<f32>,
    /// The new model's folder, or NAME.safetensors
    #[arg(long, value_name = "DIR|FILE")]
    pub out: PathBuf,
}

/// `fairhuman convert`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman convert --model runs/people/model --out people.safetensors
  fairhuman convert --model dream.safetensors --out models/dream

One checkpoint file (names as A1111, ComfyUI and the model sites have them) for a name that ends in .safetensors, \
else a folder in diffusers' layout. Every tensor keeps its type. A file of a model that has not the sizes of Stable \
Diffusion 1.x, 2.x or XL is read with --base FOLDER; the last line says so.")]
pub struct Convert {
    #[command(flatten)]
    pub model: ModelChoice,
    /// The new model's folder, or NAME.safetensors
    #[arg(long, value_name = "DIR|FILE")]
    pub out: PathBuf,
}
