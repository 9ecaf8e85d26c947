//! Merging LoRAs into a copy of the base: afterwards an ordinary model folder, for programs without LoRA.

use std::collections::BTreeMap;
use std::path::Path;

use crate::lora_file::{LoraFile, LoraModule};
use crate::net::{ModelError, StoredTensor, write_component};
use crate::weights::{WeightFiles, narrow};

/// Writes the component folder `from` (say `unet/`) to `to` with W + weight * alpha / r * B A in place of W for
/// every module of `component` in `files`, every tensor in its stored type. Sums are rounded once.
///
/// # Errors
/// A module that the folder lacks, factors of another shape, files that cannot be read or written, `to` the
/// same folder as `from`.
pub fn merge_lora(
    from: &Path,
    to: &Path,
    component: &str,
    files: &[(&LoraFile, f32)],
) -> Result<(), ModelError> {
    let io = |path: &Path, source| ModelError::Io { path: path.into(), source };
    std::fs::create_dir_all(to).map_err(|e| io(to, e))?;
    let real = |path: &Path| std::fs::canonicalize(path).map_err(|e| io(path, e));
    if real(from)? == real(to)? {
        return Err(ModelError::lora(format!(
            "{}: the merged model must go to another folder",
            to.display()
        )));
    }
    let weights = WeightFiles::open(from)?;
    let mut updates: BTreeMap<String, Vec<(&LoraModule, f32)>> = BTreeMap::new();
    for (file, weight) in files {
        for (path, module) in &file.modules {
            if let Some(name) = path.strip_prefix(component).and_then(|rest| rest.strip_prefix('.')) {
                updates.entry(format!("{name}.weight")).or_default().push((module, *weight));
            }
        }
    }
    // Buffers of whole numbers, which old text encoders carry, are recomputed by every reader.
    let names: Vec<&str> = weights.names().filter(|n| !n.ends_with("position_ids")).collect();
    if let Some(lost) = updates.keys().find(|name| !weights.contains(name)) {
        return Err(ModelError::lora(format!(
            "{} has no tensor {lost} to merge into",
            weights.path().display()
        )));
    }
    let mut stored = Vec::new();
    for name in &names {
        let data = weights.get_any_shape(name)?;
        for (module, _) in updates.get(*name).into_iter().flatten() {
            check(name, data.shape(), module)?;
        }
        stored.push(StoredTensor { name: (*name).into(), shape: data.shape().to_vec(), dtype: data.dtype() });
    }
    let whole = weights.path().file_name().is_some_and(|n| n.to_string_lossy().starts_with("model"));
    let stem = if whole { "model" } else { "diffusion_pytorch_model" };
    write_component(to, stem, &stored, |i| {
        let data = weights.get_any_shape(names[i])?;
        let Some(modules) = updates.get(names[i]) else { return Ok(data.bytes().to_vec()) };
        let mut values = data.to_f32();
        for (module, weight) in modules {
            add(&mut values, module, *weight);
        }
        Ok(narrow(&values, data.dtype()))
    })?;
    let config = "config.json";
    std::fs::copy(from.join(config), to.join(config)).map_err(|e| io(&from.join(config), e))?;
    Ok(())
}

fn check(name: &str, shape: &[usize], module: &LoraModule) -> Result<(), ModelError> {
    let (down, up) = (&module.down.shape, &module.up.shape);
    let inputs: usize = shape[1..].iter().product();
    let fits = module.rank() > 0
        && down[1..].iter().product::<usize>() == inputs
        && up.iter().product::<usize>() == shape[0] * module.rank()
        && up[0] == shape[0];
    if fits {
        return Ok(());
    }
    Err(ModelError::lora(format!(
        "{name} has shape {shape:?}, but the file's factors have shapes {down:?} and {up:?}; is it for another base model?"
    )))
}

/// `values [O, I] += weight * alpha / r * up [O, r] down [r, I]`.
fn add(values: &mut [f32], module: &LoraModule, weight: f32) {
    let rank = module.rank();
    let scale = weight * module.alpha / rank as f32;
    let inputs = module.down.data.len() / rank;
    let mut update = vec![0.0; inputs];
    for (row, factors) in values.chunks_exact_mut(inputs).zip(module.up.data.chunks_exact(rank)) {
        update.fill(0.0);
        for (factor, down) in factors.iter().zip(module.down.data.chunks_exact(inputs)) {
            for (sum, value) in update.iter_mut().zip(down) {
                *sum += factor * value;
            }
        }
        for (value, update) in row.iter_mut().zip(&update) {
            *value += scale * update;
        }
    }
}
