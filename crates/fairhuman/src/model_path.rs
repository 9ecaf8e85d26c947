//! Models as people name them: a folder, a checkpoint file, or the built-in model.

use std::path::{Path, PathBuf};

use anyhow::Context;
use fairhuman_builtin::clip_merges;
use fairhuman_diffusion::single_file::{Missing, Predicts, write_folder};
use fairhuman_train::recipe::{Model, Prediction, Recipe};

use crate::cache;
use crate::cli::ModelChoice;
use crate::hub;

/// The name of the built-in model.
pub const BUILTIN: &str = "builtin";

/// The folder of a model: itself; of a checkpoint file, a folder in the user's cache whose weights are a view
/// of the file; of the name `builtin`, where there is no such folder, the built-in model's.
///
/// # Errors
/// A file that is no checkpoint, or lacks what `base` has not.
fn folder(path: &Path, base: Option<&Path>, prediction: Option<Prediction>) -> anyhow::Result<PathBuf> {
    if is_builtin(path) {
        return cache::builtin_model();
    }
    let is_checkpoint =
        path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"));
    if !is_checkpoint {
        return Ok(path.to_path_buf());
    }
    let out = cache::folder().unwrap_or_else(|| std::env::temp_dir().join("fairhuman")).join("checkpoints");
    let out = out.join(name(path, base, prediction).with_context(|| path.display().to_string())?);
    if out.join("model_index.json").is_file() {
        return Ok(out);
    }
    let merges = clip_merges()?;
    let predicts = prediction.map(|prediction| match prediction {
        Prediction::Epsilon => Predicts::Epsilon,
        Prediction::V => Predicts::V,
    });
    errln!("{}", write_folder(path, &Missing { base, predicts, merges: &merges }, &out)?);
    Ok(out)
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
    match &choice.model {
        Some(model) => {
            let base = choice.base.as_deref().map(|base| folder(base, None, None)).transpose()?;
            folder(model, base.as_deref(), choice.prediction)
        }
        None => cache::builtin_model(),
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
    let base = model.base.as_deref().map(|base| folder(&place(base)?, None, None)).transpose()?;
    folder(&place(&model.path)?, base.as_deref(), model.prediction)
}

/// Puts the folder of a recipe's model into its place.
///
/// # Errors
/// As [`folder`].
pub fn settle(recipe: &mut Recipe) -> anyhow::Result<()> {
    recipe.model.path = of_recipe(&recipe.model)?;
    Ok(())
}

/// A folder's name that is another one for another file, or when the file was changed.
fn name(path: &Path, base: Option<&Path>, prediction: Option<Prediction>) -> std::io::Result<String> {
    let about = |path: &Path| -> std::io::Result<String> {
        let (real, data) = (path.canonicalize()?, path.metadata()?);
        Ok(format!("{} {} {:?}", real.display(), data.len(), data.modified()?))
    };
    let base = base.map(about).transpose()?.unwrap_or_default();
    let key = format!("{}\n{base}\n{prediction:?}\n{}", about(path)?, env!("CARGO_PKG_VERSION"));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(format!("{stem}-{}", &blake3::hash(key.as_bytes()).to_hex()[..16]))
}
