//! LoRA files in the three conventions that other programs read, and one neutral form behind them.
//!
//! A LoRA adds (alpha / rank) * up * down to a linear layer or convolution (Hu et al. 2021). Conventions
//! differ in how they name the module and where they keep alpha:
//!
//! | convention | key | alpha |
//! |---|---|---|
//! | kohya | `lora_unet_input_blocks_4_1_..._to_q.lora_down.weight` | `.alpha` tensor |
//! | PEFT | `unet.down_blocks.1.attentions.0...to_q.lora_A.weight` | header key `lora_adapter_metadata`; written: the rank |
//! | old diffusers | `unet.down_blocks.1.attentions.0...to_q.lora.down.weight` | none: alpha is the rank |
//!
//! Kohya names join a path with `_`, which cannot be undone by looking at the name (`to_q` has one of its
//! own). So reading starts from the paths of the modules that the model has, and looks names up. LoHa, LoKr,
//! DoRA, Tucker's form and whole differences are read as [`OtherModule`]s, which change a weight as a whole.
//! Further adapters (OFT, IA3) are refused by the names of their tensors.

mod layout;
mod metadata;
mod other;
mod read;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use fairhuman_engine::DType;

use crate::weights::WeightError;

pub use layout::{BlockLayout, UnetLayout};
pub use metadata::{BaseModel, LoraAbout, kohya_metadata};
pub use other::{Factor, OtherModule};
pub use read::read_lora;
pub use write::write_lora;

/// Naming conventions of LoRA files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convention {
    /// kohya-ss: read by ComfyUI, A1111, Forge and diffusers. U-Net modules have the names of the original
    /// Stable Diffusion code (`input_blocks`, `middle_block`, `output_blocks`) for SDXL, diffusers' names
    /// else.
    Kohya,
    /// PEFT keys as diffusers writes them. Alpha has a place in the header, which diffusers reads from 0.35
    /// on. For readers that do not, alpha / rank is multiplied into the factors, and the header says alpha =
    /// rank.
    Peft,
    /// diffusers' keys from before PEFT. There is no place for alpha: alpha / rank is multiplied into the
    /// factors.
    OldDiffusers,
}

/// A tensor widened to f32, with the type in which it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraTensor {
    /// Type in the file.
    pub dtype: DType,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Values, as many as the shape says.
    pub data: Vec<f32>,
}

/// The two factors of one module's update.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraModule {
    /// `[rank, in]`, for convolutions `[rank, in, kernel height, kernel width]`.
    pub down: LoraTensor,
    /// `[out, rank]`, for convolutions `[out, rank, 1, 1]`.
    pub up: LoraTensor,
    /// The update is scaled by alpha / rank.
    pub alpha: f32,
}

impl LoraModule {
    /// Width of the bottleneck.
    pub fn rank(&self) -> usize {
        self.down.shape.first().copied().unwrap_or(0)
    }
}

/// A whole LoRA, whatever convention it came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoraFile {
    /// By diffusers path with the component before it: `unet.mid_block.attentions.0.proj_in`,
    /// `text_encoder.text_model...`, `text_encoder_2.text_model...`.
    pub modules: BTreeMap<String, LoraModule>,
    /// Modules of other kinds, by the same paths: only for sampling and merging.
    pub others: BTreeMap<String, OtherModule>,
    /// Free-form strings of the header.
    pub metadata: BTreeMap<String, String>,
}

/// Why a LoRA file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LoraFileError {
    /// The safetensors file itself.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Tensors that no module of this model explains.
    #[error("{}: {} tensors do not belong to a LoRA of this model, such as {:?}{hint}", path.display(), keys.len(), keys.first().map_or("", |key| key))]
    UnknownKeys {
        /// The file.
        path: PathBuf,
        /// Their names.
        keys: Vec<String>,
        /// The kind of adapter it may be; may be empty.
        hint: String,
    },
    /// A checkpoint that training goes on from.
    #[error("{}: this is a training state, not a LoRA: the LoRA of its run is {}", path.display(), lora.display())]
    TrainingState {
        /// The file.
        path: PathBuf,
        /// The LoRA in the run's folder.
        lora: PathBuf,
    },
    /// A module that is incomplete, contradicts itself, or cannot be expressed.
    #[error("{}: {module}: {problem}", path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// The module's path, or the key.
        module: String,
        /// Expected and found.
        problem: String,
    },
    /// A header that cannot be understood or would be too large for other programs.
    #[error("{}: header: {problem}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        problem: String,
    },
}

/// Says that an adapter of another kind is not read, and a way out.
fn advice(kind: &str) -> String {
    format!(
        "{kind} is not supported: merge it into its base with the program that made it and use the merged model, or train a plain LoRA"
    )
}

/// Checks that `down` and `up` are one update; the problem in words where they are not.
fn check(module: &LoraModule) -> Result<(), String> {
    let (down, up) = (&module.down.shape, &module.up.shape);
    for (name, tensor) in [("down", &module.down), ("up", &module.up)] {
        if tensor.data.len() != tensor.shape.iter().product::<usize>() {
            return Err(format!("{name} has {} values for shape {:?}", tensor.data.len(), tensor.shape));
        }
        if let Some(i) = tensor.data.iter().position(|v| !v.is_finite()) {
            return Err(format!("{name} holds {} at element {i}", tensor.data[i]));
        }
    }
    let linear = down.len() == 2 && up.len() == 2;
    let conv = down.len() == 4 && up.len() == 4 && up[2..] == [1, 1];
    if !(linear || conv) {
        return Err(format!(
            "expected down [rank, in] and up [out, rank], or down [rank, in, kh, kw] and up [out, rank, 1, 1]; found {down:?} and {up:?}"
        ));
    }
    if down[0] != up[1] || down[0] == 0 {
        return Err(format!("down {down:?} and up {up:?} have different ranks, or rank 0"));
    }
    if !module.alpha.is_finite() {
        return Err(format!("alpha is {}", module.alpha));
    }
    Ok(())
}
