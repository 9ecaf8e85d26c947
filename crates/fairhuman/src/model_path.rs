//! Models as people name them: a folder, a checkpoint file, or the built-in model.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use fairhuman_builtin::clip_merges;
use fairhuman_diffusion::lora_file::LoraFileError;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::single_file::{
    Changes, Missing, Predicts, write_folder, write_variant, yaml_says_v,
};
use fairhuman_train::recipe::{Model, Prediction, Recipe};
use fairhuman_train::size;

use crate::cache;
use crate::cli::{ModelChoice, Network};
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
    let is_checkpoint = is_checkpoint(path);
    let Asked { base, prediction, vae, clip_skip } = asked;
    let model = match is_checkpoint {
        false => model,
        true => {
            // A file beside it that is written later has a say, too.
            let settings = format!("{prediction:?} {}", yaml_says_v(path));
            let out = place("checkpoints", path, &[base, vae], &settings)?;
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

/// True for one file with a model's weights.
fn is_checkpoint(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"))
}

/// Fails where something is said that only a checkpoint file does not say itself, and the model is none.
fn ensure_used(path: &Path, said: [(&str, bool); 2]) -> anyhow::Result<()> {
    for (key, is_said) in said {
        ensure!(
            !is_said || is_checkpoint(path),
            "{key}: it is for a checkpoint file, and {} is a model folder, which says everything itself; leave it out",
            path.display()
        );
    }
    Ok(())
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
    let base = choice.base.as_ref().map(|base| folder(&base.path, Asked::default())).transpose()?;
    let ModelChoice { prediction, clip_skip, .. } = *choice;
    let vae = choice.vae.as_ref().map(|vae| &*vae.path);
    let asked = Asked { base: base.as_deref(), prediction, vae, clip_skip };
    let Some(Network { path: model, .. }) = &choice.model else {
        return folder(&cache::builtin_model()?, asked);
    };
    // A file that is not there is told by its reader.
    if model.exists() || is_builtin(model) {
        ensure_used(model, [("--base", base.is_some()), ("--prediction", prediction.is_some())])?;
    }
    folder(model, asked)
}

/// The error of a LoRA that is none of the chosen model's. Whoever named no model may not know which it was.
pub fn lora_error(choice: &ModelChoice, error: ModelError) -> anyhow::Error {
    let is_other = matches!(&error, ModelError::LoraFile(LoraFileError::UnknownKeys { .. }));
    match choice.model {
        None if is_other => anyhow::Error::from(error)
            .context("no --model was named, so the LoRA was put into the built-in model: name the one that it was trained on"),
        _ => error.into(),
    }
}

/// The model as the command line names it, for what is written down: the folder that [`chosen`] finds may be
/// one of a cache.
pub fn named(choice: &ModelChoice) -> PathBuf {
    choice.model.as_ref().map_or_else(|| BUILTIN.into(), |model| model.named.clone())
}

/// A settled model in words: `dream.safetensors (base models/sdxl)`.
pub fn in_words(model: &Model) -> String {
    let words = parts(model).map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ");
    let path = model.path.display();
    if words.is_empty() { path.to_string() } else { format!("{path} ({words})") }
}

/// A settled model as options of a command.
pub fn as_options(model: &Model) -> String {
    let option = |(key, value): (&str, String)| format!(" --{} {value}", key.replace('_', "-"));
    format!("--model {}{}", model.path.display(), parts(model).map(option).collect::<String>())
}

/// All that a recipe says of a model beside its path.
fn parts(model: &Model) -> impl Iterator<Item = (&'static str, String)> {
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let prediction = model.prediction.map(|prediction| match prediction {
        Prediction::Epsilon => "epsilon".to_owned(),
        Prediction::V => "v".to_owned(),
    });
    let skip = model.clip_skip.map(|skip| skip.to_string());
    let parts = [
        ("base", shown(&model.base)),
        ("prediction", prediction),
        ("vae", shown(&model.vae)),
        ("clip_skip", skip),
    ];
    parts.into_iter().filter_map(|(key, value)| Some((key, value?)))
}

/// Finds the folder of a recipe's model, whose paths were joined to the recipe's folder. Names that are no
/// paths (`builtin`, those of the Hub) are put back as they were written.
///
/// # Errors
/// As [`folder`], by the key.
pub fn of_recipe(model: &mut Model) -> anyhow::Result<()> {
    let path = located("model.path", &mut model.path)?;
    if !is_checkpoint(&path) {
        ModelFolder::open(&path).map_err(|error| under("model.path", error.into()))?;
    }
    let (has_base, has_prediction) = (model.base.is_some(), model.prediction.is_some());
    ensure_used(&path, [("model.base", has_base), ("model.prediction", has_prediction)])?;
    let base = model.base.as_mut().map(|base| located("model.base", base)).transpose()?;
    let base = base.map(|base| folder(&base, Asked::default())).transpose();
    let base = base.map_err(|error| under("model.base", error))?;
    let vae = model.vae.as_mut().map(|vae| located("model.vae", vae)).transpose()?;
    if let Some(vae) = &vae {
        ensure!(vae.exists(), "model.vae: {}: there is no such file or folder", vae.display());
    }
    let (prediction, clip_skip) = (model.prediction, model.clip_skip);
    let asked = Asked { base: base.as_deref(), prediction, vae: vae.as_deref(), clip_skip };
    model.settled = Some(folder(&path, asked).map_err(|error| under("[model]", error))?);
    Ok(())
}

/// An error about a key or table of a recipe.
fn under(key: &str, error: anyhow::Error) -> anyhow::Error {
    let text = format!("{key}: {error}");
    error.context(text)
}

/// The file or folder that a path of a recipe stands for.
fn located(key: &str, path: &mut PathBuf) -> anyhow::Result<PathBuf> {
    if is_builtin(path) {
        *path = BUILTIN.into();
        return cache::builtin_model();
    }
    let found = hub::located_of_recipe(path).map_err(|error| under(key, error))?;
    if !path.exists() && found != *path {
        *path = hub::name_in_recipe(path).into();
    }
    Ok(found)
}

/// Finds the folder of a recipe's model, and the size that the model was made for where the recipe, the file
/// `path`, says none.
///
/// # Errors
/// As [`folder`].
pub fn settle(recipe: &mut Recipe, path: &Path) -> anyhow::Result<()> {
    of_recipe(&mut recipe.model)?;
    let text = fairhuman_files::read_to_string(path).unwrap_or_default();
    let written: toml::Table = text.parse().unwrap_or_default();
    let says = |table: &str, key: &str| written.get(table).and_then(|table| table.get(key)).is_some();
    if says("geometry", "width") || says("geometry", "height") {
        return Ok(());
    }
    // A model that cannot be opened is told of by its reader.
    let Some((width, height)) = size::of(recipe.model.folder()) else { return Ok(()) };
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
