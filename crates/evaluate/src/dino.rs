//! DINOv2 (Oquab et al. 2023): features of pictures by which sets are compared (FD-DINOv2, Stein et al.
//! 2023), and regions of pictures.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::{Part, Viewed, WeightFiles};
use fairhuman_engine::{Activation, Backend};
use image::RgbImage;
use serde_json::Value;

use crate::bicubic;
use crate::error::EvaluateError;
use crate::network::{Reader, Vit, VitConfig, digest, open, split_names};
use crate::preprocess::{Fit, IMAGENET, values};
use crate::sets::{Embedder, Features};

/// Side of the pictures that are read.
pub const SIDE: usize = 224;

/// A DINOv2 model on a backend.
pub struct Dino<'b, B: Backend> {
    backend: &'b B,
    vit: Vit<B>,
    identity: String,
}

impl<'b, B: Backend> Dino<'b, B> {
    /// Reads a folder of transformers' `Dinov2Model`, to be shown pictures of `side` pixels: positions are
    /// interpolated as transformers does it.
    ///
    /// # Errors
    /// A pickle, files that are missing or damaged, settings that are not supported.
    pub fn open(backend: &'b B, folder: &Path, side: usize) -> Result<Self, EvaluateError> {
        let files = open(folder)?;
        let digest = digest(&files)?;
        let config = config(&folder.join("config.json"), side)?;
        let (files, positions) = renamed(files, &config)?;
        let reader = Reader { backend, files: &files };
        let vit = Vit::read(&reader, config, positions)?;
        files.finish(&["mask_token"]).map_err(ModelError::from)?;
        let identity = format!(
            "DINOv2, class token, shorter side to {side} by Pillow's bicubic, the middle, weights sha256:{digest}"
        );
        Ok(Self { backend, vit, identity })
    }

    /// The class tokens of pictures as the network reads them, `[3, side, side]` each.
    pub fn features_of_values(&self, pictures: &[Vec<f32>]) -> Features {
        self.vit.class_tokens(self.backend, pictures)
    }
}

impl<B: Backend> Embedder for Dino<'_, B> {
    fn name(&self) -> &'static str {
        "dino"
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn embed(&self, images: &[&RgbImage]) -> Features {
        let side = self.vit.config().side;
        let pictures: Vec<Vec<f32>> =
            images.iter().map(|image| values(image, side, Fit::Crop, IMAGENET)).collect();
        self.features_of_values(&pictures)
    }
}

fn config(path: &Path, side: usize) -> Result<VitConfig, EvaluateError> {
    let wrong = |problem: String| EvaluateError::Weights { path: path.into(), problem };
    let text = fairhuman_files::read(path).map_err(EvaluateError::io(path))?;
    let config: Value = serde_json::from_slice(&text).map_err(|e| wrong(format!("not JSON: {e}")))?;
    for (key, expected) in [
        ("model_type", Value::from("dinov2")),
        ("hidden_act", "gelu".into()),
        ("use_swiglu_ffn", false.into()),
        ("qkv_bias", true.into()),
    ] {
        let found = &config[key];
        if !found.is_null() && *found != expected {
            return Err(wrong(format!("\"{key}\": expected {expected}, found {found}")));
        }
    }
    let whole = |key: &str, default: u64| {
        let found = config[key].as_u64().unwrap_or(default);
        match usize::try_from(found) {
            Ok(n) if (1..=1 << 20).contains(&n) => Ok(n),
            _ => Err(wrong(format!("\"{key}\": expected a whole number of at least 1, found {found}"))),
        }
    };
    let width = whole("hidden_size", 768)?;
    let config = VitConfig {
        width,
        inner: width * whole("mlp_ratio", 4)?,
        layers: whole("num_hidden_layers", 12)?,
        heads: whole("num_attention_heads", 12)?,
        patch: whole("patch_size", 14)?,
        side,
        activation: Activation::Gelu,
        eps: config["layer_norm_eps"].as_f64().unwrap_or(1e-6) as f32,
        patch_bias: true,
        norm_first: false,
        scaled: true,
    };
    if !side.is_multiple_of(config.patch) || !width.is_multiple_of(config.heads) {
        return Err(wrong(format!(
            "patches of {} do not divide {side} pixels, or {} heads a width of {width}",
            config.patch, config.heads
        )));
    }
    Ok(config)
}

/// The files under the names of transformers' CLIP, and the positions for the number of patches.
fn renamed(files: WeightFiles, c: &VitConfig) -> Result<(WeightFiles, Vec<f32>), EvaluateError> {
    let mut views = BTreeMap::new();
    let mut add = |ours: String, theirs: String, shape: Vec<usize>| {
        views.insert(ours, Viewed { name: theirs, shape, part: Part::Whole, scale: None });
    };
    let (top, w) = ("vision_model", c.width);
    add(format!("{top}.embeddings.class_embedding"), "embeddings.cls_token".into(), vec![w]);
    let patch = format!("{top}.embeddings.patch_embedding");
    add(
        format!("{patch}.weight"),
        "embeddings.patch_embeddings.projection.weight".into(),
        vec![w, c.patch_values()],
    );
    add(format!("{patch}.bias"), "embeddings.patch_embeddings.projection.bias".into(), vec![w]);
    for end in ["weight", "bias"] {
        add(format!("{top}.post_layernorm.{end}"), format!("layernorm.{end}"), vec![w]);
    }
    let attention = ["query", "key", "value"].map(|name| format!("attention.attention.{name}"));
    let names = split_names(
        ["norm1", "norm2"],
        [&attention[0], &attention[1], &attention[2], "attention.output.dense"],
        ["mlp.fc1", "mlp.fc2"],
    );
    for layer in 0..c.layers {
        let (ours, theirs) = (format!("{top}.encoder.layers.{layer}"), format!("encoder.layer.{layer}"));
        for (own, stored) in &names {
            let shape = match own.as_str() {
                "mlp.fc1.weight" => vec![c.inner, w],
                "mlp.fc1.bias" => vec![c.inner],
                "mlp.fc2.weight" => vec![w, c.inner],
                name if name.ends_with("proj.weight") => vec![w, w],
                _ => vec![w],
            };
            add(format!("{ours}.{own}"), format!("{theirs}.{stored}"), shape);
        }
        for k in [1, 2] {
            add(format!("{ours}.scale{k}"), format!("{theirs}.layer_scale{k}.lambda1"), vec![w]);
        }
    }
    let stored = files.get_any_shape("embeddings.position_embeddings").map_err(ModelError::from)?;
    let tokens = stored.to_f32().len() / w.max(1);
    let (from, to) = (tokens.saturating_sub(1).isqrt(), c.side / c.patch);
    if stored.shape() != [1, from * from + 1, w] {
        let problem = format!(
            "the tensor \"embeddings.position_embeddings\" has shape {:?}; expected [1, n * n + 1, {w}]",
            stored.shape()
        );
        return Err(EvaluateError::Weights { path: files.path().into(), problem });
    }
    let positions = interpolated(&stored.to_f32(), w, from, to);
    Ok((files.viewed(&views).map_err(ModelError::from)?, positions))
}

/// Positions `[from * from + 1, width]` for `to * to` patches; the first, the class token's, stays.
fn interpolated(positions: &[f32], width: usize, from: usize, to: usize) -> Vec<f32> {
    let (class, grid) = positions.split_at(width);
    let mut all = class.to_vec();
    all.resize((to * to + 1) * width, 0.0);
    for channel in 0..width {
        let plane: Vec<f32> = grid.iter().skip(channel).step_by(width).copied().collect();
        for (i, value) in bicubic::torch_plain(&plane, from, to).into_iter().enumerate() {
            all[(i + 1) * width + channel] = value;
        }
    }
    all
}
