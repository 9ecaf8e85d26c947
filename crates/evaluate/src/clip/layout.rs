//! Both layouts of CLIP's weights under the names of transformers.

use std::collections::BTreeMap;

use fairhuman_diffusion::clip::{self};
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::single_file::open_clip_name;
use fairhuman_diffusion::weights::{Part, Viewed, WeightFiles};

use super::config::Config;
use crate::error::EvaluateError;

/// True if the tensors have open_clip's names.
pub(super) fn is_open_clip(files: &WeightFiles) -> bool {
    files.contains("visual.conv1.weight")
}

fn viewed(name: String, shape: Vec<usize>, part: Part) -> Viewed {
    Viewed { name, shape, part, scale: None }
}

/// Files of transformers, with the filter of the patches as a matrix.
pub(super) fn transformers(files: WeightFiles, config: &Config) -> Result<WeightFiles, EvaluateError> {
    let name = "vision_model.embeddings.patch_embedding.weight".to_owned();
    let shape = vec![config.vision.width, config.vision.patch_values()];
    let views = BTreeMap::from([(name.clone(), viewed(name, shape, Part::Whole))]);
    Ok(files.viewed(&views).map_err(ModelError::from)?)
}

/// Files of open_clip under transformers' names: query, key and value apart, projections transposed.
pub(super) fn open_clip(files: WeightFiles, config: &Config) -> Result<WeightFiles, EvaluateError> {
    let c = &config.vision;
    let mut views = BTreeMap::new();
    for tensor in clip::plan(&config.text).tensors() {
        if let Some((name, part)) = open_clip_name(&tensor.name) {
            views.insert(tensor.name, viewed(name, tensor.shape, part));
        }
    }
    let top = "vision_model";
    let mut add = |ours: String, theirs: &str, shape: Vec<usize>| {
        views.insert(ours, viewed(theirs.into(), shape, Part::Whole));
    };
    add(
        format!("{top}.embeddings.patch_embedding.weight"),
        "visual.conv1.weight",
        vec![c.width, c.patch_values()],
    );
    add(format!("{top}.embeddings.class_embedding"), "visual.class_embedding", vec![c.width]);
    add(
        format!("{top}.embeddings.position_embedding.weight"),
        "visual.positional_embedding",
        vec![c.tokens(), c.width],
    );
    for (ours, theirs) in [("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")] {
        for end in ["weight", "bias"] {
            add(format!("{top}.{ours}.{end}"), &format!("visual.{theirs}.{end}"), vec![c.width]);
        }
    }
    let projection = viewed("visual.proj".into(), vec![config.projection, c.width], Part::Transposed);
    views.insert("visual_projection.weight".into(), projection);
    // The layers of both towers have the same names after their prefixes.
    let (w, inner) = (c.width, c.inner);
    for layer in 0..c.layers {
        for (module, outputs, inputs) in [
            ("self_attn.q_proj", w, w),
            ("self_attn.k_proj", w, w),
            ("self_attn.v_proj", w, w),
            ("self_attn.out_proj", w, w),
            ("mlp.fc1", inner, w),
            ("mlp.fc2", w, inner),
            ("layer_norm1", w, 0),
            ("layer_norm2", w, 0),
        ] {
            for (end, shape) in [("weight", vec![outputs, inputs]), ("bias", vec![outputs])] {
                let shape: Vec<usize> = shape.into_iter().filter(|side| *side > 0).collect();
                let name = format!("encoder.layers.{layer}.{module}.{end}");
                if let Some((stored, part)) = open_clip_name(&format!("text_model.{name}")) {
                    views.insert(format!("{top}.{name}"), viewed(format!("visual.{stored}"), shape, part));
                }
            }
        }
    }
    Ok(files.viewed(&views).map_err(ModelError::from)?)
}
