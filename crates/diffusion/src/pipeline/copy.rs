//! A model folder with some parts replaced: what whole-network training leaves behind.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_engine::WeightData;
use fairhuman_files::PartialFolder;
use serde_json::json;

use super::ModelFolder;
use crate::config_check::Config;
use crate::net::ModelError;
use crate::weights::{TensorBytes, VIEW, WeightFiles, variant_of, write_json, write_safetensors};

/// A model folder's index.
const INDEX: &str = "model_index.json";

/// Makes the model folder `to` from `from`: every component that its index names is copied, but those
/// `replaced` get their `config.json` and what `write` puts into them (told the component and its folder).
/// `to` appears under its name when all of it is there; a folder that was there before is replaced by it.
///
/// # Errors
/// Files that cannot be read or written, what `write` returns.
pub fn copy_model(
    from: &Path,
    to: &Path,
    replaced: &[&str],
    write: impl Fn(&str, &Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    copied(from, to, replaced, write)?.replace().map_err(io(to))
}

/// [`copy_model`] for a `to` that is new; the second of two that write it is told.
///
/// # Errors
/// As [`copy_model`]; a folder that is there already.
pub fn copy_model_new(
    from: &Path,
    to: &Path,
    replaced: &[&str],
    write: impl Fn(&str, &Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    copied(from, to, replaced, write)?.publish_new().map_err(io(to))
}

fn copied(
    from: &Path,
    to: &Path,
    replaced: &[&str],
    write: impl Fn(&str, &Path) -> Result<(), ModelError>,
) -> Result<PartialFolder, ModelError> {
    let model = ModelFolder::open(from)?;
    let partial = PartialFolder::new(to).map_err(io(to))?;
    fill(&model, partial.path(), replaced, write)?;
    Ok(partial)
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ModelError {
    let path = path.to_path_buf();
    move |source| ModelError::Io { path, source }
}

fn fill(
    model: &ModelFolder,
    partial: &Path,
    replaced: &[&str],
    write: impl Fn(&str, &Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let from = &model.path;
    for entry in std::fs::read_dir(from).map_err(io(from))? {
        let entry = entry.map_err(io(from))?;
        let (path, copy) = (entry.path(), partial.join(entry.file_name()));
        if path.is_file() {
            if path.extension().is_some_and(|e| e == "json") {
                fairhuman_files::copy(&path, &copy)?;
            }
        } else if path.is_dir() && model.components.iter().any(|name| entry.file_name() == **name) {
            std::fs::create_dir_all(&copy).map_err(io(&copy))?;
            let replaced = replaced.iter().any(|name| entry.file_name() == *name);
            copy_files(&path, &copy, replaced)?;
        }
    }
    for component in replaced {
        write(component, &partial.join(component))?;
    }
    release_absent(model, &partial.join(INDEX))
}

/// Takes out of the index `copy` what it names and `model` has not: diffusers reads no folder that lacks a
/// part of its index, and downloads leave parts such as the safety checker out.
fn release_absent(model: &ModelFolder, copy: &Path) -> Result<(), ModelError> {
    let absent = |name: &&String| !model.is_read(name) && !model.path.join(name).is_dir();
    let absent: Vec<&String> = model.components.iter().filter(absent).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let mut index = Config::parse(&model.path.join(INDEX))?;
    absent.into_iter().for_each(|name| index[name] = json!([null, null]));
    Ok(write_json(copy, &index)?)
}

/// Weights that are a view of a checkpoint file become files of their own. Those of a variant get plain
/// names: what replaces a component has them, and diffusers reads no folder that has some of both.
fn copy_files(from: &Path, to: &Path, only_config: bool) -> Result<(), ModelError> {
    if !only_config && from.join(VIEW).is_file() {
        let files = WeightFiles::open(from)?;
        let names: Vec<String> = files.names().map(str::to_owned).collect();
        let data = names.iter().map(|name| files.get_any_shape(name)).collect::<Result<Vec<_>, _>>()?;
        let tensor = |(name, data): (String, &WeightData)| {
            let (dtype, shape) = (data.dtype(), data.shape().to_vec());
            (name, dtype, shape)
        };
        let about: Vec<_> = names.into_iter().zip(&data).map(tensor).collect();
        let tensors = about.iter().zip(&data).map(|((name, dtype, shape), data)| {
            (name.clone(), TensorBytes { dtype: *dtype, shape, bytes: data.bytes() })
        });
        let stem =
            if from.ends_with("unet") || from.ends_with("vae") { "diffusion_pytorch_model" } else { "model" };
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        write_safetensors(&to.join(format!("{stem}.safetensors")), &tensors.collect(), &metadata)?;
    }
    let variant = variant_of(from);
    for entry in std::fs::read_dir(from).map_err(io(from))? {
        let path = entry.map_err(io(from))?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_file() && name != VIEW && (!only_config || name == "config.json") {
            let plain = variant.as_ref().filter(|(file, _)| *file == path).map(|(_, plain)| plain.as_ref());
            fairhuman_files::copy(&path, &to.join(plain.unwrap_or(name)))?;
        }
    }
    Ok(())
}
