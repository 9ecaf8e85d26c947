//! Making a complete random model in SDXL's layout, something to train, test and measure with, no download;
//! and control networks for models.
//!
//! Weights start as PyTorch's layers do and are functions of (seed, component, tensor). Tensors are written
//! as they are drawn, so that even SDXL's full size needs little memory.

mod control;
mod preset;

use std::path::Path;
use std::str::FromStr;

use fairhuman_engine::{Backend, DType};
use fairhuman_files::PartialFolder;
use serde_json::{Value, json};

use crate::clip::ClipConfig;
use crate::net::{ModelError, Plan, StoredTensor, random, write_component};
use crate::tokenizer::{PadToken, write_tokenizer};
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;
use crate::weights::{narrow, write_json};
pub use control::{ControlInit, init_control};
use preset::Sizes;

/// Sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 2 million parameters in the U-Net: tests in seconds.
    Tiny,
    /// 9 million: drawn people at 96 pixels; every weight is trained on a laptop.
    Small,
    /// 50 million: SDXL's shape at a size that trains on a laptop.
    Mini,
    /// SDXL's own sizes, 2.6 billion.
    Sdxl,
}

/// The name is none of a preset's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no preset \"{0}\"; expected tiny, small, mini or sdxl")]
pub struct UnknownPreset(String);

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        match name {
            "tiny" => Ok(Self::Tiny),
            "small" => Ok(Self::Small),
            "mini" => Ok(Self::Mini),
            "sdxl" => Ok(Self::Sdxl),
            _ => Err(UnknownPreset(name.into())),
        }
    }
}

/// Writes a random model to `folder`, which must be a new one or empty: `model_index.json`, `unet/`, `vae/`,
/// `text_encoder/`, `text_encoder_2/`, `tokenizer/`, `tokenizer_2/`, `scheduler/`. It appears under its name
/// when all of it is there.
///
/// # Errors
/// Files that cannot be written, something that is there as `folder`.
pub fn init_model<B: Backend>(
    backend: &B,
    preset: Preset,
    dtype: DType,
    seed: u64,
    folder: &Path,
) -> Result<(), ModelError> {
    refuse_existing(folder)?;
    let io = |source| ModelError::Io { path: folder.into(), source };
    let partial = PartialFolder::new(folder).map_err(io)?;
    fill(backend, preset, dtype, seed, partial.path())?;
    partial.publish_new().map_err(io)
}

/// A model is not mixed with what a folder holds.
fn refuse_existing(folder: &Path) -> Result<(), ModelError> {
    let first = match folder.read_dir() {
        _ if folder.join("model_index.json").exists() => "a model".to_owned(),
        Ok(entries) => match entries.flatten().map(|entry| entry.file_name()).min() {
            Some(name) => name.display().to_string(),
            None => return Ok(()),
        },
        // What is wrong with it, if anything is, is said when it is written.
        Err(_) => return Ok(()),
    };
    let problem = format!("holds {first} already; choose another folder, or delete it first");
    Err(ModelError::Folder { path: folder.into(), problem })
}

fn fill<B: Backend>(
    backend: &B,
    preset: Preset,
    dtype: DType,
    seed: u64,
    folder: &Path,
) -> Result<(), ModelError> {
    let sizes = Sizes::of(preset);
    let networks = Networks { backend, folder, dtype, seed };
    let tokens =
        |name: &str, pad| write_tokenizer(&folder.join(name), &preset::corpus(preset), preset::TOKENS, pad);
    let first = tokens("tokenizer", PadToken::EndOfText)?;
    let second = tokens("tokenizer_2", PadToken::Exclamation)?;
    for (name, config) in
        [("text_encoder", sizes.text_encoder(first)), ("text_encoder_2", sizes.text_encoder_2(second))]
    {
        let plan = crate::clip::plan(&ClipConfig::from_value(&folder.join(name), config.clone())?);
        networks.write(name, "model", &config, &plan)?;
    }
    let stem = "diffusion_pytorch_model";
    let config = sizes.vae();
    let plan = crate::vae::plan(&VaeConfig::from_value(&folder.join("vae"), config.clone())?);
    networks.write("vae", stem, &config, &plan)?;
    let config = sizes.unet();
    let plan = crate::unet::plan(&UNetConfig::from_value(&folder.join("unet"), config.clone())?);
    networks.write("unet", stem, &config, &plan)?;
    let scheduler = folder.join("scheduler");
    std::fs::create_dir_all(&scheduler)
        .map_err(|source| ModelError::Io { path: scheduler.clone(), source })?;
    write_json(&scheduler.join("scheduler_config.json"), &preset::scheduler(preset))?;
    write_json(&folder.join("model_index.json"), &index(preset))?;
    Ok(())
}

/// Where the random networks of a model are written, and their values.
struct Networks<'a, B: Backend> {
    backend: &'a B,
    folder: &'a Path,
    dtype: DType,
    seed: u64,
}

impl<B: Backend> Networks<'_, B> {
    /// Writes a component's folder: its `config.json`, and the tensors of its plan as `<stem>.safetensors`.
    fn write(&self, component: &str, stem: &str, config: &Value, plan: &Plan) -> Result<(), ModelError> {
        let &Self { backend, folder, dtype, seed } = self;
        let folder = folder.join(component);
        let tensors = plan.tensors();
        let stored =
            tensors.iter().map(|t| StoredTensor { name: t.name.clone(), shape: t.shape.clone(), dtype });
        write_component(backend, &folder, stem, &stored.collect::<Vec<_>>(), |i| {
            let tensor = &tensors[i];
            let name = format!("{component}.{}", tensor.name);
            Ok(narrow(&random::draw(seed, &name, tensor.shape.iter().product(), tensor.init), dtype))
        })?;
        write_json(&folder.join("config.json"), config)?;
        Ok(())
    }
}

fn index(preset: Preset) -> Value {
    json!({
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": "0.32.2",
        // The small model learns what no text means from captions that are left out.
        "force_zeros_for_empty_prompt": preset != Preset::Small,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    })
}
