//! Sizes of ImageReward's networks, and its vision tensors, which have timm's names, under those of
//! transformers' CLIP.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::{Part, Viewed, WeightFiles};
use fairhuman_engine::Activation;
use serde_json::Value;

use super::bert::BertConfig;
use crate::error::EvaluateError;
use crate::network::{VitConfig, split_names};

/// Ends of the names of tensors that nothing is computed from.
pub(super) const UNUSED: [&str; 6] = [
    "position_ids",
    "vision_proj.weight",
    "vision_proj.bias",
    "text_proj.weight",
    "text_proj.bias",
    "blip.temp",
];

const VISION: &str = "blip.visual_encoder";
const TEXT: &str = "blip.text_encoder";

fn shape(files: &WeightFiles, name: &str, dimensions: usize) -> Result<Vec<usize>, EvaluateError> {
    let problem = match files.shape(name) {
        Some(shape) if shape.len() == dimensions => return Ok(shape.to_vec()),
        Some(shape) => format!("the tensor \"{name}\" has shape {shape:?}"),
        None => format!("the tensor \"{name}\" is missing; expected ImageReward's weights"),
    };
    Err(EvaluateError::Weights { path: files.path().into(), problem })
}

fn count(files: &WeightFiles, prefix: &str) -> usize {
    let number = |name: &str| name.strip_prefix(prefix)?.split_once('.')?.0.parse::<usize>().ok();
    files.names().filter_map(number).max().map_or(0, |last| last + 1)
}

/// The text network's sizes: heads and eps by `med_config.json`, the rest by shapes.
pub(super) fn text(folder: &Path, files: &WeightFiles) -> Result<BertConfig, EvaluateError> {
    let path = folder.join("med_config.json");
    let text = fairhuman_files::read(&path).map_err(EvaluateError::io(&path))?;
    let wrong = |problem: String| EvaluateError::Weights { path: path.clone(), problem };
    let config: Value = serde_json::from_slice(&text).map_err(|e| wrong(format!("not JSON: {e}")))?;
    let words = shape(files, &format!("{TEXT}.embeddings.word_embeddings.weight"), 2)?;
    let heads = config["num_attention_heads"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(12);
    if heads == 0 || !words[1].is_multiple_of(heads) {
        return Err(wrong(format!(
            "\"num_attention_heads\": expected a divisor of the width {}, found {heads}",
            words[1]
        )));
    }
    Ok(BertConfig {
        vocabulary: words[0],
        positions: shape(files, &format!("{TEXT}.embeddings.position_embeddings.weight"), 2)?[0],
        width: words[1],
        inner: shape(files, &format!("{TEXT}.encoder.layer.0.intermediate.dense.weight"), 2)?[0],
        layers: count(files, &format!("{TEXT}.encoder.layer.")),
        heads,
        eps: config["layer_norm_eps"].as_f64().unwrap_or(1e-12) as f32,
    })
}

/// The vision network's sizes; its heads have 64 channels.
pub(super) fn vision(files: &WeightFiles) -> Result<VitConfig, EvaluateError> {
    let patch = shape(files, &format!("{VISION}.patch_embed.proj.weight"), 4)?;
    let tokens = shape(files, &format!("{VISION}.pos_embed"), 3)?[1];
    Ok(VitConfig {
        width: patch[0],
        inner: shape(files, &format!("{VISION}.blocks.0.mlp.fc1.weight"), 2)?[0],
        layers: count(files, &format!("{VISION}.blocks.")),
        heads: (patch[0] / 64).max(1),
        patch: patch[2],
        side: tokens.saturating_sub(1).isqrt() * patch[2],
        activation: Activation::Gelu,
        eps: 1e-6,
        patch_bias: true,
        norm_first: false,
        scaled: false,
    })
}

/// The files with the vision network under transformers' names.
pub(super) fn renamed(files: WeightFiles, c: &VitConfig) -> Result<WeightFiles, EvaluateError> {
    let mut views = BTreeMap::new();
    let mut add = |ours: String, theirs: String, shape: Vec<usize>, part: Part| {
        views.insert(ours, Viewed { name: format!("{VISION}.{theirs}"), shape, part, scale: None });
    };
    let (top, w) = ("vision_model", c.width);
    let embeddings = format!("{top}.embeddings");
    add(format!("{embeddings}.class_embedding"), "cls_token".into(), vec![w], Part::Whole);
    add(
        format!("{embeddings}.position_embedding.weight"),
        "pos_embed".into(),
        vec![c.tokens(), w],
        Part::Whole,
    );
    add(
        format!("{embeddings}.patch_embedding.weight"),
        "patch_embed.proj.weight".into(),
        vec![w, c.patch_values()],
        Part::Whole,
    );
    add(format!("{embeddings}.patch_embedding.bias"), "patch_embed.proj.bias".into(), vec![w], Part::Whole);
    for end in ["weight", "bias"] {
        add(format!("{top}.post_layernorm.{end}"), format!("norm.{end}"), vec![w], Part::Whole);
    }
    let names = split_names(
        ["norm1", "norm2"],
        ["attn.qkv", "attn.qkv", "attn.qkv", "attn.proj"],
        ["mlp.fc1", "mlp.fc2"],
    );
    for layer in 0..c.layers {
        for (own, stored) in &names {
            let shape = match own.as_str() {
                "mlp.fc1.weight" => vec![c.inner, w],
                "mlp.fc1.bias" => vec![c.inner],
                "mlp.fc2.weight" => vec![w, c.inner],
                name if name.ends_with("proj.weight") => vec![w, w],
                _ => vec![w],
            };
            let third = ["q_proj", "k_proj", "v_proj"].iter().position(|part| own.contains(part));
            let part = third.map_or(Part::Whole, Part::Third);
            add(
                format!("{top}.encoder.layers.{layer}.{own}"),
                format!("blocks.{layer}.{stored}"),
                shape,
                part,
            );
        }
    }
    Ok(files.viewed(&views).map_err(ModelError::from)?)
}
