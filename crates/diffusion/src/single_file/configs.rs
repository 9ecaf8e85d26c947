//! The configurations of the networks in a checkpoint file, from the shapes of their tensors. What shapes do
//! not say (heads, groups, scales) is that of the family.

use serde_json::{Value, json};

use super::family::{Parts, TextPart, UNET};
use crate::pipeline::Family;
use crate::weights::WeightFiles;

/// Channels of a head in SD 2.x and SDXL.
const HEAD: usize = 64;
/// Heads of SD 1.x, in every block.
const SD1_HEADS: usize = 8;
/// Groups of every normalisation.
const GROUPS: usize = 32;

/// `unet/config.json`; none where the U-Net has not the sizes of its family, so that its heads are unknown.
pub(super) fn unet(files: &WeightFiles, parts: &Parts, sample: usize) -> Option<Value> {
    let shape = |name: &str| files.shape(&format!("{UNET}{name}"));
    let mut levels: Vec<Level> = Vec::new();
    let mut level = Level::default();
    for i in 1.. {
        if shape(&format!("input_blocks.{i}.0.op.weight")).is_some() {
            levels.push(std::mem::take(&mut level));
            continue;
        }
        let Some(layer) = shape(&format!("input_blocks.{i}.0.out_layers.3.weight")) else { break };
        level.channels = layer[0];
        level.layers += 1;
        let depth = |k: usize| format!("input_blocks.{i}.1.transformer_blocks.{k}.attn1.to_q.weight");
        level.depth = level.depth.max((0..).take_while(|&k| shape(&depth(k)).is_some()).count());
    }
    levels.push(level);
    let first = shape("input_blocks.0.0.weight")?;
    let known = levels.iter().all(|l| l.channels % HEAD == 0 && l.channels > 0) && first[0] % HEAD == 0;
    if !known {
        return None;
    }
    let kinds = |way: &str| -> Vec<String> {
        let kind =
            |l: &Level| if l.depth > 0 { format!("CrossAttn{way}Block2D") } else { format!("{way}Block2D") };
        levels.iter().map(kind).collect()
    };
    let middle = |k: usize| format!("middle_block.1.transformer_blocks.{k}.attn1.to_q.weight");
    let middle = (0..).take_while(|&k| shape(&middle(k)).is_some()).count();
    let mut depths: Vec<usize> = levels.iter().map(|l| l.depth.max(1)).collect();
    if let Some(last) = depths.last_mut().filter(|last| **last == 1 && middle > 0) {
        // The middle has the depth of the last block, which need not attend itself.
        *last = middle;
    }
    let context =
        files.names().find(|name| name.starts_with(UNET) && name.ends_with(".attn2.to_k.weight"))?;
    let linear = files.names().find(|name| name.starts_with(UNET) && name.ends_with(".proj_in.weight"));
    let heads: Vec<usize> = match parts.family == Family::Sd && !parts.is_sd2 {
        true => vec![SD1_HEADS; levels.len()],
        false => levels.iter().map(|l| l.channels / HEAD).collect(),
    };
    let up: Vec<String> = kinds("Up").into_iter().rev().collect();
    let mut config = json!({
        "_class_name": "UNet2DConditionModel",
        "act_fn": "silu",
        "attention_head_dim": heads,
        "block_out_channels": levels.iter().map(|l| l.channels).collect::<Vec<_>>(),
        "cross_attention_dim": files.shape(context)?.get(1)?,
        "down_block_types": kinds("Down"),
        "downsample_padding": 1,
        "flip_sin_to_cos": true,
        "freq_shift": 0,
        "in_channels": first.get(1)?,
        "layers_per_block": levels.iter().map(|l| l.layers).collect::<Vec<_>>(),
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-5,
        "norm_num_groups": GROUPS,
        "out_channels": shape("out.2.weight")?.first()?,
        "sample_size": sample,
        "transformer_layers_per_block": depths,
        "up_block_types": up,
        "use_linear_projection": linear.is_some_and(|name| files.shape(name).is_some_and(|s| s.len() == 2)),
    });
    if levels.iter().all(|l| l.layers == levels[0].layers) {
        config["layers_per_block"] = json!(levels[0].layers);
    }
    if let Some(label) = shape("label_emb.0.0.weight") {
        config["addition_embed_type"] = json!("text_time");
        config["addition_time_embed_dim"] = json!(256);
        config["projection_class_embeddings_input_dim"] = json!(label.get(1)?);
    }
    Some(config)
}

/// One resolution.
#[derive(Debug, Default)]
struct Level {
    channels: usize,
    layers: usize,
    depth: usize,
}

/// `vae/config.json`; none where the file has no such autoencoder.
pub(super) fn vae(files: &WeightFiles, prefix: &str, family: Family, sample: usize) -> Option<Value> {
    let shape = |name: &str| files.shape(&format!("{prefix}{name}"));
    let block = |i: usize, j: usize| format!("encoder.down.{i}.block.{j}.conv1.weight");
    let channels: Vec<usize> = (0..).map_while(|i| shape(&block(i, 0)).map(|s| s[0])).collect();
    let layers = (0..).take_while(|&j| shape(&block(0, j)).is_some()).count();
    let latents = shape("decoder.conv_in.weight")?.get(1).copied()?;
    if channels.is_empty() || channels.iter().any(|c| c % GROUPS != 0) {
        return None;
    }
    Some(json!({
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": channels,
        "down_block_types": vec!["DownEncoderBlock2D"; channels.len()],
        "in_channels": 3,
        "latent_channels": latents,
        "layers_per_block": layers,
        "norm_num_groups": GROUPS,
        "out_channels": 3,
        "sample_size": sample << (channels.len() - 1),
        "scaling_factor": if family == Family::Sdxl { 0.13025 } else { 0.18215 },
        "up_block_types": vec!["UpDecoderBlock2D"; channels.len()],
    }))
}

/// A text encoder's `config.json`; none where its width is that of no published one.
pub(super) fn text(files: &WeightFiles, part: &TextPart, parts: &Parts) -> Option<Value> {
    let prefix = part.prefix;
    let shape = |name: &str| files.shape(&format!("{prefix}{name}"));
    let (table, layer) = match part.open_clip {
        true => ("token_embedding.weight".to_owned(), "transformer.resblocks.{}.mlp.c_fc.weight"),
        false => {
            let inner = inner_prefix(files, prefix);
            (format!("{inner}embeddings.token_embedding.weight"), "encoder.layers.{}.mlp.fc1.weight")
        }
    };
    let inner = if part.open_clip { "" } else { inner_prefix(files, prefix) };
    let layer = |i: usize| format!("{inner}{}", layer.replace("{}", &i.to_string()));
    let [words, width] = *shape(&table)? else { return None };
    if width % HEAD != 0 {
        return None;
    }
    let mut layers = (0..).take_while(|&i| shape(&layer(i)).is_some()).count();
    if parts.is_sd2 {
        // The state before the last block is what is read.
        layers = layers.checked_sub(1)?;
    }
    let projects = part.open_clip && !parts.is_sd2;
    let projection = shape("text_projection").or_else(|| shape("text_projection.weight"));
    Some(json!({
        "architectures": [if projects { "CLIPTextModelWithProjection" } else { "CLIPTextModel" }],
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "hidden_act": if part.open_clip { "gelu" } else { "quick_gelu" },
        "hidden_size": width,
        "intermediate_size": shape(&layer(0))?.first()?,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": width / HEAD,
        "num_hidden_layers": layers,
        "pad_token_id": if part.open_clip { 0 } else { words - 1 },
        "projection_dim": if projects { *projection?.last()? } else { width },
        "vocab_size": words,
    }))
}

/// `text_model.`, which old files leave out.
pub(super) fn inner_prefix(files: &WeightFiles, prefix: &str) -> &'static str {
    let whole = format!("{prefix}text_model.");
    if files.names().any(|name| name.starts_with(&whole)) { "text_model." } else { "" }
}

/// `scheduler/scheduler_config.json`.
pub(super) fn scheduler(predicts_v: bool, zero_snr: bool) -> Value {
    json!({
        "_class_name": "EulerDiscreteScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "prediction_type": if predicts_v { "v_prediction" } else { "epsilon" },
        "rescale_betas_zero_snr": zero_snr,
        "steps_offset": 1,
        "timestep_spacing": if zero_snr { "trailing" } else { "leading" },
    })
}

/// `model_index.json`.
pub(super) fn index(family: Family) -> Value {
    let mut index = json!({
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    });
    if family == Family::Sdxl {
        index["_class_name"] = json!("StableDiffusionXLPipeline");
        index["force_zeros_for_empty_prompt"] = json!(true);
        index["text_encoder_2"] = json!(["transformers", "CLIPTextModelWithProjection"]);
        index["tokenizer_2"] = json!(["transformers", "CLIPTokenizer"]);
    }
    index
}
