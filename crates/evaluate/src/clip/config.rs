//! Settings of CLIP's two towers, from transformers' `config.json`, or from the shapes of an open_clip file.

use std::path::Path;

use fairhuman_diffusion::clip::ClipConfig;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::Activation;
use serde_json::{Value, json};

use crate::error::EvaluateError;
use crate::network::VitConfig;

/// Both towers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub vision: VitConfig,
    pub text: ClipConfig,
    pub projection: usize,
}

fn wrong(path: &Path, problem: impl Into<String>) -> EvaluateError {
    EvaluateError::Weights { path: path.into(), problem: problem.into() }
}

fn read_json(path: &Path) -> Result<Value, EvaluateError> {
    let text = fairhuman_files::read(path).map_err(EvaluateError::io(path))?;
    serde_json::from_slice(&text).map_err(|e| wrong(path, format!("not JSON: {e}")))
}

/// A positive whole number.
fn whole(path: &Path, object: &Value, key: &str, default: usize) -> Result<usize, EvaluateError> {
    match &object[key] {
        Value::Null => Ok(default),
        value => match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if (1..=1 << 20).contains(&n) => Ok(n),
            _ => Err(wrong(path, format!("\"{key}\": expected a whole number of at least 1, found {value}"))),
        },
    }
}

fn activation(path: &Path, name: &Value) -> Result<Activation, EvaluateError> {
    match name.as_str() {
        None | Some("quick_gelu") => Ok(Activation::QuickGelu),
        Some("gelu") => Ok(Activation::Gelu),
        Some(other) => {
            Err(wrong(path, format!("\"hidden_act\": expected quick_gelu or gelu, found {other:?}")))
        }
    }
}

fn checked(path: &Path, config: VitConfig) -> Result<VitConfig, EvaluateError> {
    let VitConfig { width, heads, patch, side, .. } = config;
    if !width.is_multiple_of(heads) || patch > side {
        let found = format!("{heads} heads of a width of {width}, patches of {patch} in {side} pixels");
        return Err(wrong(
            path,
            format!("expected heads that divide the width and patches in the picture, found {found}"),
        ));
    }
    Ok(config)
}

/// Reads the `config.json` of a folder of transformers' `CLIPModel`.
pub(super) fn transformers(folder: &Path) -> Result<Config, EvaluateError> {
    let path = folder.join("config.json");
    let config = read_json(&path)?;
    if let Some(other) = config["model_type"].as_str().filter(|kind| *kind != "clip") {
        return Err(wrong(&path, format!("\"model_type\": expected \"clip\", found {other:?}")));
    }
    let part =
        |name: &str| config[name].as_object().map_or_else(|| json!({}), |part| Value::from(part.clone()));
    let vision = part("vision_config");
    let size = |key: &str, default| whole(&path, &vision, key, default);
    let projection = whole(&path, &config, "projection_dim", 512)?;
    let vision = VitConfig {
        width: size("hidden_size", 768)?,
        inner: size("intermediate_size", 3072)?,
        layers: size("num_hidden_layers", 12)?,
        heads: size("num_attention_heads", 12)?,
        patch: size("patch_size", 32)?,
        side: size("image_size", 224)?,
        activation: activation(&path, &vision["hidden_act"])?,
        eps: vision["layer_norm_eps"].as_f64().unwrap_or(1e-5) as f32,
        patch_bias: false,
        norm_first: true,
        scaled: false,
    };
    let mut text = part("text_config");
    // Some are saved with the class of the whole model, or of the tower, in them.
    text.as_object_mut().into_iter().for_each(|text| drop(text.remove("architectures")));
    let mut text = ClipConfig::from_value(&path, text).map_err(ModelError::from)?;
    text.projection = Some(projection);
    Ok(Config { vision: checked(&path, vision)?, text, projection })
}

/// The configuration of a file with open_clip's names: by its shapes, and by `open_clip_config.json` beside
/// it where there is one.
pub(super) fn open_clip(files: &WeightFiles) -> Result<Config, EvaluateError> {
    let path = files.path();
    let shape = |name: &str, dimensions: usize| match files.shape(name) {
        Some(shape) if shape.len() == dimensions => Ok(shape.to_vec()),
        Some(shape) => Err(wrong(path, format!("the tensor \"{name}\" has shape {shape:?}"))),
        None => Err(wrong(
            path,
            format!("the tensor \"{name}\" is missing; expected a CLIP model of transformers or open_clip"),
        )),
    };
    let beside = path.with_file_name("open_clip_config.json");
    let read = if beside.is_file() { read_json(&beside)? } else { Value::Null };
    let cfg = &read["model_cfg"];
    let layers = |prefix: &str| {
        let number = |name: &str| name.strip_prefix(prefix)?.split_once('.')?.0.parse::<usize>().ok();
        files.names().filter_map(number).max().map_or(0, |last| last + 1)
    };
    let gelu = if cfg["quick_gelu"] == true { Activation::QuickGelu } else { Activation::Gelu };
    let conv = shape("visual.conv1.weight", 4)?;
    let (width, patch) = (conv[0], conv[2]);
    let tokens = shape("visual.positional_embedding", 2)?[0];
    let grid = tokens.saturating_sub(1).isqrt();
    // ViT-H has heads of 80 channels, all others of open_clip's towers 64.
    let head = whole(&beside, &cfg["vision_cfg"], "head_width", if width == 1280 { 80 } else { 64 })?;
    let vision = VitConfig {
        width,
        inner: shape("visual.transformer.resblocks.0.mlp.c_fc.weight", 2)?[0],
        layers: layers("visual.transformer.resblocks."),
        heads: (width / head).max(1),
        patch,
        side: grid * patch,
        activation: gelu,
        eps: 1e-5,
        patch_bias: false,
        norm_first: true,
        scaled: false,
    };
    let table = shape("token_embedding.weight", 2)?;
    let projection = shape("text_projection", 2)?[1];
    let text = ClipConfig {
        vocabulary: table[0],
        width: table[1],
        inner: shape("transformer.resblocks.0.mlp.c_fc.weight", 2)?[0],
        layers: layers("transformer.resblocks."),
        heads: whole(&beside, &cfg["text_cfg"], "heads", (table[1] / 64).max(1))?,
        positions: shape("positional_embedding", 2)?[0],
        skipped: 0,
        activation: gelu,
        eps: 1e-5,
        // open_clip pools at the largest id, as old configurations of transformers do.
        end_token: 2,
        projection: Some(projection),
    };
    if !text.width.is_multiple_of(text.heads) {
        return Err(wrong(
            path,
            format!("{} heads do not divide the text's width of {}", text.heads, text.width),
        ));
    }
    Ok(Config { vision: checked(path, vision)?, text, projection })
}
