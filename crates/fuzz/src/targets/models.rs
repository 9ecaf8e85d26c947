//! Readers of model folders: weights, LoRA files, configurations, tokenizers.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::Context;
use fairhuman_diffusion::clip::ClipConfig;
use fairhuman_diffusion::lora_file::{UnetLayout, read_lora};
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::schedule::NoiseSchedule;
use fairhuman_diffusion::tokenizer::ClipTokenizer;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_diffusion::weights::WeightFiles;

use super::put;

/// LoRA files of every convention.
pub(super) const LORAS: &[&str] = &[
    "diffusion/tests/data/lora/kohya_diffusers.safetensors",
    "diffusion/tests/data/lora/kohya_sgm.safetensors",
    "diffusion/tests/data/lora/old.safetensors",
    "diffusion/tests/data/lora/peft.safetensors",
    "diffusion/tests/data/lora/processors.safetensors",
];

/// Configurations of every part.
pub(super) const CONFIGS: &[&str] = &[
    "diffusion/tests/data/unet/sd15/unet/config.json",
    "diffusion/tests/data/unet/sdxl/unet/config.json",
    "diffusion/tests/data/vae/sd/vae/config.json",
    "diffusion/tests/data/clip/projected/text_encoder/config.json",
    "diffusion/tests/data/sampler/sd/model_index.json",
    "diffusion/tests/data/sampler/sd/scheduler/scheduler_config.json",
];

/// The files of a small tokenizer.
pub(super) const TOKENIZER: &[&str] = &[
    "diffusion/tests/data/tokenizer/written/merges.txt",
    "diffusion/tests/data/tokenizer/written/special_tokens_map.json",
    "diffusion/tests/data/tokenizer/written/tokenizer_config.json",
    "diffusion/tests/data/tokenizer/written/vocab.json",
];

pub(super) fn safetensors(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    let path = put(folder, "model.safetensors", input)?;
    if let Ok(files) = WeightFiles::open_file(&path) {
        for name in files.names() {
            if let Ok(data) = files.get_any_shape(name) {
                data.to_f32();
            }
            let _ = files.get_scalar(name);
        }
        let _ = (files.find_not_finite(), files.finish(&[]));
    }
    Ok(())
}

pub(super) fn lora(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    static MODEL: OnceLock<(Vec<String>, UnetLayout)> = OnceLock::new();
    let (modules, layout) = MODEL.get_or_init(|| {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../diffusion/tests/data/lora");
        let json = |name: &str| -> anyhow::Result<serde_json::Value> {
            Ok(serde_json::from_slice(&std::fs::read(data.join(name))?)?)
        };
        let strings = |value: &serde_json::Value| match value {
            serde_json::Value::Array(list) => {
                list.iter().filter_map(|m| Some(m.as_str()?.to_owned())).collect()
            }
            serde_json::Value::Object(map) => map.keys().cloned().collect(),
            _ => Vec::new(),
        };
        let modules = json("modules.json").context("modules.json").expect("test data of the diffusion crate");
        let config = json("unet_config.json").expect("test data of the diffusion crate");
        let layout =
            UnetLayout::from_config(Path::new("config.json"), &config).expect("a whole configuration");
        (strings(&modules), layout)
    });
    let path = put(folder, "lora.safetensors", input)?;
    let _ = read_lora(&path, modules, layout);
    Ok(())
}

pub(super) fn config(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    let path = put(folder, "config.json", input)?;
    if let Ok(config) = UNetConfig::open(&path) {
        let _ = fairhuman_diffusion::unet::plan(&config);
    }
    if let Ok(config) = VaeConfig::open(&path) {
        let _ = fairhuman_diffusion::vae::plan(&config);
    }
    if let Ok(config) = ClipConfig::open(&path) {
        let _ = fairhuman_diffusion::clip::plan(&config);
    }
    let _ = NoiseSchedule::read(&path);
    put(folder, "model_index.json", input)?;
    let _ = ModelFolder::open(folder);
    Ok(())
}

/// The input takes each file's place in turn, the others being whole.
pub(super) fn tokenizer(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for replaced in TOKENIZER {
        for file in TOKENIZER {
            let name = file.rsplit('/').next().unwrap_or(file);
            let bytes = if file == replaced { input.to_vec() } else { std::fs::read(crates.join(file))? };
            put(folder, name, &bytes)?;
        }
        if let Ok(tokenizer) = ClipTokenizer::open(folder) {
            tokenizer.encode("a woman waves, two \u{1f44b} hands");
        }
    }
    Ok(())
}
