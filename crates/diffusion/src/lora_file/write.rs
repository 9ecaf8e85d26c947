//! Writing LoRA files in any of the three conventions.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_engine::DType;

use super::metadata::{ADAPTER_KEY, NETWORK_ALPHA, adapter_json, network_alpha};
use super::read::flat;
use super::{Convention, LoraFile, LoraFileError, LoraModule, UnetLayout, check};
use crate::weights::{TensorBytes, narrow_finite, write_safetensors};

/// Headers beyond this are refused by some readers and never needed.
const MAX_METADATA: usize = 1 << 20;

struct Stored {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Writes `lora` atomically, each tensor in its own type, alpha in f32. `layout` describes the model's U-Net.
///
/// # Errors
/// A module that contradicts itself or has no name in the convention, a value too large for its type, a
/// header of over 1 MiB, a file that cannot be written.
pub fn write_lora(
    path: &Path,
    lora: &LoraFile,
    convention: Convention,
    layout: &UnetLayout,
) -> Result<(), LoraFileError> {
    let mut tensors: BTreeMap<String, Stored> = BTreeMap::new();
    let mut modules = BTreeMap::new();
    for (name, module) in &lora.modules {
        let fail =
            |problem: String| LoraFileError::Module { path: path.into(), module: name.clone(), problem };
        check(module).map_err(fail)?;
        // Readers of PEFT files agree on alpha only where it is the rank: diffusers below 0.35 knows no
        // other.
        let module = match convention {
            Convention::Kohya => module.clone(),
            Convention::Peft | Convention::OldDiffusers => fold_alpha(module),
        };
        let (down, up, alpha) = keys(name, convention, layout)
            .ok_or_else(|| fail(format!("this module has no name in the {convention:?} convention")))?;
        for (key, tensor) in [(down, &module.down), (up, &module.up)] {
            let bytes = narrow_finite(&tensor.data, tensor.dtype)
                .map_err(|value| fail(format!("{value} in {key} is too large for {:?}", tensor.dtype)))?;
            let stored = Stored { dtype: tensor.dtype, shape: tensor.shape.clone(), bytes };
            if tensors.insert(key.clone(), stored).is_some() {
                return Err(fail(format!("another module has the same key, {key}")));
            }
        }
        if let Some(alpha) = alpha {
            let bytes = module.alpha.to_le_bytes().to_vec();
            tensors.insert(alpha, Stored { dtype: DType::F32, shape: Vec::new(), bytes });
        }
        modules.insert(name.clone(), module);
    }
    let mut metadata = lora.metadata.clone();
    metadata.insert("format".into(), "pt".into());
    metadata.entry(NETWORK_ALPHA.into()).and_modify(|alpha| *alpha = network_alpha(&modules));
    let size: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    if size > MAX_METADATA {
        let problem =
            format!("{size} bytes of metadata; at most {MAX_METADATA} are written: leave training tags out");
        return Err(LoraFileError::Metadata { path: path.into(), problem });
    }
    if convention == Convention::Peft {
        metadata.insert(ADAPTER_KEY.into(), adapter_json(&modules));
    }
    let views = tensors
        .iter()
        .map(|(key, t)| (key.clone(), TensorBytes { dtype: t.dtype, shape: &t.shape, bytes: &t.bytes }))
        .collect();
    Ok(write_safetensors(path, &views, &metadata)?)
}

/// Keys of down and up and, where the convention has one, of alpha.
fn keys(
    module: &str,
    convention: Convention,
    layout: &UnetLayout,
) -> Option<(String, String, Option<String>)> {
    let (component, rest) = module.split_once('.')?;
    match convention {
        Convention::Kohya => {
            let stem = match component {
                "unet" if layout.sdxl => format!("lora_unet_{}", flat(&layout.sgm_path(rest)?)),
                "unet" => format!("lora_unet_{}", flat(rest)),
                "text_encoder" if layout.sdxl => format!("lora_te1_{}", flat(rest)),
                "text_encoder" => format!("lora_te_{}", flat(rest)),
                "text_encoder_2" => format!("lora_te2_{}", flat(rest)),
                _ => return None,
            };
            let alpha = format!("{stem}.alpha");
            Some((format!("{stem}.lora_down.weight"), format!("{stem}.lora_up.weight"), Some(alpha)))
        }
        Convention::Peft => {
            Some((format!("{module}.lora_A.weight"), format!("{module}.lora_B.weight"), None))
        }
        Convention::OldDiffusers => {
            let layer = if component == "unet" { "lora" } else { "lora_linear_layer" };
            Some((format!("{module}.{layer}.down.weight"), format!("{module}.{layer}.up.weight"), None))
        }
    }
}

/// The same update with alpha = rank. Of a scale far from 1, a power of two near its root goes into `down`,
/// which is exact, so that neither factor leaves the numbers that F16 holds well.
fn fold_alpha(module: &LoraModule) -> LoraModule {
    let rank = module.rank() as f32;
    let scale = module.alpha / rank;
    let half = if scale == 0.0 { 0.0 } else { (scale.abs().log2() / 2.0).trunc() };
    let of_down = half.exp2();
    let mut folded = module.clone();
    for (tensor, factor) in [(&mut folded.down, of_down), (&mut folded.up, scale / of_down)] {
        tensor.data.iter_mut().for_each(|value| *value *= factor);
    }
    folded.alpha = rank;
    folded
}
