//! ControlNets as files: diffusers folders and single files, and the names of the original code ("cldm").

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{ControlNetConfig, UnionConfig};
use crate::config_check::{Config, ConfigError};
use crate::control::{self, Layout};
use crate::net::{ModelError, Plan};
use crate::unet::UNetConfig;
use crate::weights::{Part, Viewed, WeightFiles};

/// Settings and weights under diffusers' names of a folder or of one file for the U-Net in the folder `unet`.
pub(super) fn open(path: &Path, unet: &Path) -> Result<(ControlNetConfig, WeightFiles), ModelError> {
    if path.is_dir() {
        let config = ControlNetConfig::open(&path.join("config.json"))?;
        let files = of_union(&config, WeightFiles::open(path)?)?;
        return Ok((config, files));
    }
    let files = WeightFiles::open_file(path)?;
    let layout = control::layout(&files)?;
    let unet = unet.join("config.json");
    let value = Config::parse(&unet)?;
    match layout {
        Layout::ControlNet => {
            let hint = hint_channels(&files, "controlnet_cond_embedding", |k| format!("blocks.{k}"));
            let mut config = of_file(&unet, &value, &files, &hint, "controlnet_cond_embedding.conv_in")?;
            config.union = UnionConfig::of_file(&files);
            let files = of_union(&config, files)?;
            Ok((config, files))
        }
        Layout::Cldm => {
            let below = files.names().any(|name| name.starts_with("control_model."));
            let files = if below { files.part("control_model.") } else { files };
            let hint = hint_channels(&files, "input_hint_block", |k| (2 * (k + 1)).to_string());
            let config = of_file(&unet, &value, &files, &hint, "input_hint_block.0")?;
            let names = cldm_names(&config, &super::plan(&config));
            let names: BTreeMap<&str, &str> =
                names.iter().map(|(own, cldm)| (cldm.as_str(), own.as_str())).collect();
            let files = files.renamed(|cldm| names.get(cldm).map_or(cldm, |own| own).to_owned());
            Ok((config, files))
        }
        Layout::Adapter(_) => {
            let problem = "is a T2I-Adapter, expected a ControlNet".into();
            Err(ModelError::Folder { path: path.into(), problem })
        }
    }
}

/// The tensors of a U-Net, whose first convolution may see more than the latents, without the rest of it.
pub(super) fn first_latents(c: &UNetConfig, files: WeightFiles) -> Result<WeightFiles, ModelError> {
    let name = "conv_in.weight".to_owned();
    let shape = vec![c.channels[0], c.in_channels, c.conv_in_kernel, c.conv_in_kernel];
    if files.shape(&name).is_none_or(|found| found.get(1) <= shape.get(1)) {
        return Ok(files);
    }
    let part = Viewed { name: name.clone(), shape, part: Part::FirstInputs, scale: None };
    Ok(files.viewed(&BTreeMap::from([(name, part)]))?)
}

/// The tensors of a union under names that layers have; other files as they are.
fn of_union(config: &ControlNetConfig, files: WeightFiles) -> Result<WeightFiles, ModelError> {
    Ok(match config.union {
        Some(union) => union.named(files, config.encoder.channels[0])?,
        None => files,
    })
}

/// Channels that come out of the embedding's convolutions that change them: the first one and every second
/// after it.
fn hint_channels(files: &WeightFiles, stack: &str, name: impl Fn(usize) -> String) -> Vec<usize> {
    let first = if stack == "input_hint_block" { "0" } else { "conv_in" };
    let outputs = |module: String| files.shape(&format!("{stack}.{module}.weight")).map(|shape| shape[0]);
    let blocks = (0..).map_while(|k| outputs(name(k)));
    outputs(first.into()).into_iter().chain(blocks.skip(1).step_by(2)).collect()
}

/// Settings of a file for a U-Net: its hint's layers are in the file, the rest is the U-Net's.
fn of_file(
    path: &Path,
    unet: &Value,
    files: &WeightFiles,
    hint: &[usize],
    first: &str,
) -> Result<ControlNetConfig, ConfigError> {
    let inputs = files.shape(&format!("{first}.weight")).map_or(3, |shape| shape[1]);
    ControlNetConfig::of_unet(path, unet, inputs, hint)
}

/// Every tensor of a ControlNet by its name in diffusers and in the original code.
pub fn cldm_names(config: &ControlNetConfig, plan: &Plan) -> Vec<(String, String)> {
    let layout = config.encoder.lora_layout();
    let blocks = 2 * (config.hint_channels.len() - 1);
    let module = |own: &str| -> Option<String> {
        let hint = |end: &str| match end.strip_prefix("blocks.") {
            _ if end == "conv_in" => Some(0),
            _ if end == "conv_out" => Some(2 * (blocks + 1)),
            k => k?.parse::<usize>().ok().map(|k| 2 * (k + 1)),
        };
        if let Some(end) = own.strip_prefix("controlnet_cond_embedding.") {
            return Some(format!("input_hint_block.{}", hint(end)?));
        }
        if let Some(i) = own.strip_prefix("controlnet_down_blocks.") {
            return Some(format!("zero_convs.{i}.0"));
        }
        if own == "controlnet_mid_block" {
            return Some("middle_block_out.0".into());
        }
        layout.sgm_path(own)
    };
    let named = |tensor: crate::net::TensorSpec| {
        let (own, end) = tensor.name.rsplit_once('.')?;
        let cldm = format!("{}.{end}", module(own)?);
        Some((tensor.name.clone(), cldm))
    };
    plan.tensors().into_iter().filter_map(named).collect()
}
