//! T2I-Adapters as files: diffusers folders, single files, and TencentARC's names.

use std::path::Path;

use super::{AdapterConfig, AdapterKind};
use crate::control::{self, AdapterNames, Layout};
use crate::net::ModelError;
use crate::weights::WeightFiles;

/// TencentARC's full adapters count their residual blocks through, two for each feature.
const PAIR: usize = 2;

/// Settings and weights under diffusers' names of a folder or of one file.
pub(super) fn open(path: &Path, reduction: usize) -> Result<(AdapterConfig, WeightFiles), ModelError> {
    if path.is_dir() {
        let config = AdapterConfig::open(&path.join("config.json"))?;
        return Ok((config, WeightFiles::open(path)?));
    }
    let files = WeightFiles::open_file(path)?;
    let files = match control::layout(&files)? {
        Layout::Adapter(AdapterNames::Diffusers) => files,
        Layout::Adapter(AdapterNames::Tencent) => {
            let below = files.names().any(|name| name.starts_with("adapter."));
            let files = if below { files.part("adapter.") } else { files };
            let light = !files.contains("conv_in.weight");
            files.renamed(|name| own_name(name, light).unwrap_or_else(|| name.to_owned()))
        }
        Layout::ControlNet | Layout::Cldm => {
            return Err(refused(path, "is a ControlNet, expected a T2I-Adapter".into()));
        }
    };
    let config = of_file(path, &files, reduction)?;
    Ok((config, files))
}

fn refused(path: &Path, problem: String) -> ModelError {
    ModelError::Folder { path: path.into(), problem }
}

/// Settings of a file, from the names and shapes of its tensors.
fn of_file(path: &Path, files: &WeightFiles, reduction: usize) -> Result<AdapterConfig, ModelError> {
    let shape = |end: String| files.shape(&format!("adapter.{end}.weight"));
    let light = shape("conv_in".into()).is_none();
    let first = shape(if light { "body.0.in_conv" } else { "conv_in" }.into());
    let Some(inputs) = first.map(|shape| shape[1]) else {
        return Err(refused(path, "it lacks the weight of its first layer".into()));
    };
    let square = |channels: usize| {
        let side = (inputs / channels).isqrt();
        (side > 0 && channels * side * side == inputs).then_some((channels, side))
    };
    let Some((in_channels, downscale)) = square(3).or_else(|| square(1)) else {
        let problem =
            format!("its first layer has {inputs} inputs, which are no squares of pixels of 1 or 3 channels");
        return Err(refused(path, problem));
    };
    let kind = match downscale {
        _ if light => AdapterKind::Light,
        d if d == AdapterKind::FullXl.downscale(reduction) => AdapterKind::FullXl,
        _ => AdapterKind::Full,
    };
    let outputs = |i: usize| match light {
        true => shape(format!("body.{i}.out_conv")),
        false => shape(format!("body.{i}.resnets.0.block1")),
    };
    let mut channels: Vec<usize> = (0..).map_while(|i| outputs(i).map(|shape| shape[0])).collect();
    if light {
        channels.pop();
    }
    let res_blocks = (0..).take_while(|j| shape(format!("body.0.resnets.{j}.block1")).is_some()).count();
    if channels.is_empty() {
        return Err(refused(path, "holds no features of a T2I-Adapter".into()));
    }
    Ok(AdapterConfig { kind, in_channels, channels, res_blocks, downscale })
}

/// diffusers' name of a tensor that TencentARC calls `name`.
fn own_name(name: &str, light: bool) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    Some(match (parts.as_slice(), light) {
        (["conv_in", end], false) => format!("adapter.conv_in.{end}"),
        (["body", i, "in_conv", end], false) => {
            format!("adapter.body.{}.in_conv.{end}", i.parse::<usize>().ok()? / PAIR)
        }
        (["body", i, layer @ ("block1" | "block2"), end], false) => {
            let i: usize = i.parse().ok()?;
            format!("adapter.body.{}.resnets.{}.{layer}.{end}", i / PAIR, i % PAIR)
        }
        (["body", i, layer @ ("in_conv" | "out_conv"), end], true) => {
            format!("adapter.body.{i}.{layer}.{end}")
        }
        (["body", i, "body", j, layer, end], true) => {
            format!("adapter.body.{i}.resnets.{j}.{layer}.{end}")
        }
        _ => return None,
    })
}

/// TencentARC's name of a light adapter's tensor.
pub(super) fn tencent_name(name: &str) -> String {
    name.trim_start_matches("adapter.").replace(".resnets.", ".body.")
}
