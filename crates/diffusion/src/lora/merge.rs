//! Merging LoRAs into a copy of the base: afterwards an ordinary model folder, for programs without LoRA.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_engine::Backend;

use super::read_loras;
use crate::clip::{self, ClipConfig};
use crate::lora_file::{LoraFile, LoraModule, OtherModule};
use crate::net::{ModelError, StoredTensor, write_component};
use crate::pipeline::{ModelFolder, copy_model_new};
use crate::unet::{self, UNetConfig};
use crate::weights::{WeightError, WeightFiles, narrow_finite};

/// Makes the model folder `to`, which must be a new one, from `from`: with W + weight * alpha / r * B A in
/// place of W for every module of `files`, each file times its weight. Every tensor keeps its stored type;
/// sums are rounded once. `to` appears under its name when all of it is there.
///
/// # Errors
/// Files that cannot be read or written, a LoRA of another model, a weight that is not a number, sums that
/// the stored type cannot hold, something that is there as `to`.
pub fn merge_loras<B: Backend>(
    backend: &B,
    from: &Path,
    files: &[(PathBuf, f32)],
    to: &Path,
) -> Result<(), ModelError> {
    let model = ModelFolder::open(from)?;
    if to.read_dir().map_or(to.exists(), |mut entries| entries.next().is_some()) {
        let problem = "is there already; the merged model must go to a new folder".into();
        return Err(ModelError::Folder { path: to.into(), problem });
    }
    let config = UNetConfig::open(&model.unet().join("config.json"))?;
    let mut networks = vec![("unet", unet::plan(&config))];
    for (_, encoder, component) in model.texts() {
        networks.push((component, clip::plan(&ClipConfig::open(&encoder.join("config.json"))?)));
    }
    let modules: Vec<String> = networks
        .iter()
        .flat_map(|(component, plan)| {
            plan.adapted_modules().map(move |module| format!("{component}.{module}"))
        })
        .collect();
    let loras = read_loras(files, &modules, &config.lora_layout())?;
    let updates = |component: &str| {
        let mut updates: Updates<'_> = BTreeMap::new();
        let own = |path: &'_ str| Some(path.strip_prefix(component)?.strip_prefix('.')?.to_owned());
        for (LoraFile { modules, others, .. }, (_, weight)) in loras.iter().zip(files) {
            let mut add = |tensor: String, update| updates.entry(tensor).or_default().push((update, *weight));
            for (name, module) in modules.iter().filter_map(|(path, module)| Some((own(path)?, module))) {
                add(format!("{name}.weight"), Update::Pair(module));
            }
            for (name, module) in others.iter().filter_map(|(path, module)| Some((own(path)?, module))) {
                if module.has_weight() {
                    add(format!("{name}.weight"), Update::Whole(module));
                }
                if module.has_bias() {
                    add(format!("{name}.bias"), Update::Bias(module));
                }
            }
        }
        updates
    };
    let changed: Vec<&str> =
        networks.iter().map(|(component, _)| *component).filter(|c| !updates(c).is_empty()).collect();
    copy_model_new(from, to, &changed, |component, folder| {
        let base = from.join(component);
        match component {
            "unet" => merge(
                backend,
                &WeightFiles::open(&base)?,
                folder,
                "diffusion_pytorch_model",
                &updates(component),
            ),
            _ => merge(backend, &clip::open_weights(&base)?, folder, "model", &updates(component)),
        }
    })
}

/// The updates of each tensor, in the order of their files.
type Updates<'a> = BTreeMap<String, Vec<(Update<'a>, f32)>>;

/// The change of a tensor.
#[derive(Clone, Copy)]
enum Update<'a> {
    /// A LoRA's.
    Pair(&'a LoraModule),
    /// Another adapter's, of the weight.
    Whole(&'a OtherModule),
    /// And of the bias.
    Bias(&'a OtherModule),
}

impl Update<'_> {
    fn apply(self, values: &mut [f32], shape: &[usize], weight: f32) -> Result<(), String> {
        match self {
            Update::Pair(module) => add(values, module, weight),
            Update::Whole(module) => module.apply(values, shape, weight)?,
            Update::Bias(module) => module.apply_bias(values, weight)?,
        }
        Ok(())
    }
}

fn merge<B: Backend>(
    backend: &B,
    base: &WeightFiles,
    to: &Path,
    stem: &str,
    updates: &Updates<'_>,
) -> Result<(), ModelError> {
    // Buffers of whole numbers, which old text encoders carry, are recomputed by every reader.
    let names: Vec<&str> = base.names().filter(|n| !n.ends_with("position_ids")).collect();
    if let Some(tensor) = updates.keys().find(|name| !base.contains(name)) {
        return Err(WeightError::Missing { path: base.path().into(), tensor: tensor.clone() }.into());
    }
    let mut stored = Vec::new();
    for name in &names {
        let data = base.get_any_shape(name)?;
        for (module, _) in updates.get(*name).into_iter().flatten() {
            if let Update::Pair(module) = module {
                check(name, data.shape(), module)?;
            }
        }
        stored.push(StoredTensor { name: (*name).into(), shape: data.shape().to_vec(), dtype: data.dtype() });
    }
    write_component(backend, to, stem, &stored, |i| {
        let data = base.get_any_shape(names[i])?;
        let mut values = data.to_f32();
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            let problem = format!("{} holds {value}: the model is damaged", names[i]);
            return Err(WeightError::Corrupt { path: base.path().into(), problem }.into());
        }
        let Some(updates) = updates.get(names[i]) else { return Ok(data.bytes().to_vec()) };
        for (update, weight) in updates {
            update
                .apply(&mut values, data.shape(), *weight)
                .map_err(|problem| ModelError::lora(format!("{}: {problem}", names[i])))?;
        }
        narrow_finite(&values, data.dtype()).map_err(|value| {
            let (name, dtype) = (names[i], data.dtype());
            let problem = format!(
                "with the LoRA {name} holds {value}, which does not fit {dtype:?}; merge with a smaller weight, or into a base in f32"
            );
            WeightError::Corrupt { path: base.path().into(), problem }.into()
        })
    })
}

fn check(name: &str, shape: &[usize], module: &LoraModule) -> Result<(), ModelError> {
    let (down, up) = (&module.down.shape, &module.up.shape);
    let fits = shape.split_first().is_some_and(|(&outputs, inner)| {
        down[1..].iter().product::<usize>() == inner.iter().product::<usize>() && up[0] == outputs
    });
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
