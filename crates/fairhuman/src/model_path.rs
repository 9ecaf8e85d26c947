//! Models as people name them: a folder, a checkpoint file, or the built-in model.

use std::path::{Path, PathBuf};

use anyhow::Context;
use fairhuman_builtin::clip_merges;
use fairhuman_diffusion::single_file::{Changes, Missing, Predicts, write_folder, write_variant};
use fairhuman_train::recipe::{Model, Prediction, Recipe};
use fairhuman_train::size;

use crate::cache;
use crate::cli::ModelChoice;
use crate::hub;

/// The name of the built-in model.
pub const BUILTIN: &str = "builtin";

/// Wishes about a model besides its path; folders and files are settled already.
#[derive(Debug, Clone, Copy, Default)]
struct Asked<'a> {
    base: Option<&'a Path>,
    prediction: Option<Prediction>,
    vae: Option<&'a Path>,
    clip_skip: Option<usize>,
}

/// The folder of a model: itself; of a checkpoint file, a folder in the user's cache whose weights are a view
/// of the file; of the name `builtin`, where there is no such folder, the built-in model's. With another
/// autoencoder or layer of the text encoder, a folder of views of that one.
///
/// # Errors
/// A file that is no checkpoint, or lacks what `base` has not; an autoencoder that is none.
fn folder(path: &Path, asked: Asked<'_>) -> anyhow::Result<PathBuf> {
    let model = if is_builtin(path) { cache::builtin_model()? } else { path.to_path_buf() };
    let is_checkpoint =
        path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"));
    let Asked { base, prediction, vae, clip_skip } = asked;
    let model = match is_checkpoint {
        false => model,
        true => {
            let out = place("checkpoints", path, &[base, vae], &format!("{prediction:?}"))?;
            if !out.join("model_index.json").is_file() {
                let merges = clip_merges()?;
                let predicts = prediction.map(|prediction| match prediction {
                    Prediction::Epsilon => Predicts::Epsilon,
                    Prediction::V => Predicts::V,
                });
                errln!("{}", write_folder(path, &Missing { base, vae, predicts, merges: &merges }, &out)?);
            }
            out
        }
    };
    // The file's folder has the autoencoder already.
    let changes =
        Changes { vae: vae.filter(|_| !is_checkpoint), clip_skip: clip_skip.filter(|&skip| skip > 1) };
    if changes == Changes::default() {
        return Ok(model);
    }
    let out = place("variants", &model, &[changes.vae], &format!("{clip_skip:?}"))?;
    if !out.join("model_index.json").is_file() {
        write_variant(&model, &changes, &out)?;
    }
    Ok(out)
}

/// A place in the user's cache that is another one for another model, other parts and other settings.
fn place(kind: &str, model: &Path, parts: &[Option<&Path>], settings: &str) -> anyhow::Result<PathBuf> {
    let out = cache::folder().unwrap_or_else(|| std::env::temp_dir().join("fairhuman")).join(kind);
    Ok(out.join(name(model, parts, settings)?))
}

/// True for the name `builtin`, where there is no such folder.
pub fn is_builtin(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == BUILTIN) && !path.exists()
}

/// The folder of a model that the command line names; where it names none, the built-in model's.
///
/// # Errors
/// As [`folder`].
pub fn chosen(choice: &ModelChoice) -> anyhow::Result<PathBuf> {
    let base = choice.base.as_deref().map(|base| folder(base, Asked::default())).transpose()?;
    let ModelChoice { prediction, clip_skip, .. } = *choice;
    let asked = Asked { base: base.as_deref(), prediction, vae: choice.vae.as_deref(), clip_skip };
    match &choice.model {
        Some(model) => folder(model, asked),
        None => folder(&cache::builtin_model()?, asked),
    }
}

/// The folder of a recipe's model, whose paths were joined to the recipe's folder.
///
/// # Errors
/// As [`folder`].
pub fn of_recipe(model: &Model) -> anyhow::Result<PathBuf> {
    let place = |path: &Path| match is_builtin(path) {
        true => Ok(path.to_path_buf()),
        false => hub::located_of_recipe(path),
    };
    let base = model.base.as_deref().map(|base| folder(&place(base)?, Asked::default())).transpose()?;
    let vae = model.vae.as_deref().map(place).transpose()?;
    let (prediction, clip_skip) = (model.prediction, model.clip_skip);
    folder(&place(&model.path)?, Asked { base: base.as_deref(), prediction, vae: vae.as_deref(), clip_skip })
}

/// Puts the folder of a recipe's model into its place, and the size that the model was made for where the
/// recipe, the file `path`, says none.
///
/// # Errors
/// As [`folder`].
pub fn settle(recipe: &mut Recipe, path: &Path) -> anyhow::Result<()> {
    recipe.model.path = of_recipe(&recipe.model)?;
    let text = fairhuman_files::read_to_string(path).unwrap_or_default();
    let written: toml::Table = text.parse().unwrap_or_default();
    let says = |table: &str, key: &str| written.get(table).and_then(|table| table.get(key)).is_some();
    if says("geometry", "width") || says("geometry", "height") {
        return Ok(());
    }
    // A model that cannot be opened is told of by its reader.
    let Some((width, height)) = size::of(&recipe.model.path) else { return Ok(()) };
    (recipe.geometry.width, recipe.geometry.height) = (width, height);
    if let Some(samples) =
        recipe.samples.as_mut().filter(|_| !says("samples", "width") && !says("samples", "height"))
    {
        (samples.width, samples.height) = (width, height);
    }
    Ok(())
}

/// A folder's name that is another one for another file, or when the file was changed.
fn name(path: &Path, parts: &[Option<&Path>], settings: &str) -> anyhow::Result<String> {
    let state = |path: &Path| -> std::io::Result<String> {
        let (real, data) = (path.canonicalize()?, path.metadata()?);
        Ok(format!("{} {} {:?}", real.display(), data.len(), data.modified()?))
    };
    let about = |path: &Path| {
        state(path).with_context(|| format!("cannot read {}, a part of the model", path.display()))
    };
    let mut key = format!("{}\n{settings}\n{}", about(path)?, env!("CARGO_PKG_VERSION"));
    for part in parts {
        key.push_str(&format!("\n{}", part.map(about).transpose()?.unwrap_or_default()));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(format!("{stem}-{}", &blake3::hash(key.as_bytes()).to_hex()[..16]))
}
