//! `fairhuman convert`: a model as a folder or as one checkpoint file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use fairhuman_builtin::clip_merges;
use fairhuman_diffusion::clip::ClipConfig;
use fairhuman_diffusion::generate::nominal_size;
use fairhuman_diffusion::pipeline::{ModelFolder, copy_model_new};
use fairhuman_diffusion::single_file::{About, Missing, write_file, write_folder};
use fairhuman_diffusion::tokenizer::ClipTokenizer;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_files::ensure_apart;

use super::there::ensure_there;
use crate::cli::{Convert, ModelChoice};
use crate::{clock, model_path};

/// Writes the model in the form that its new name asks for.
pub fn run(options: &Convert) -> anyhow::Result<ExitCode> {
    let (model, out) = (&options.model, &options.out);
    let read: Vec<(&str, &Path)> = model.read().collect();
    ensure_there(&read)?;
    ensure_apart(std::slice::from_ref(out), &read)?;
    let folder = model_path::chosen(model)?;
    if is_file_name(out) {
        write_checkpoint(&folder, out)?;
        outln!("{}", out.display());
        note_base(&folder, out, model);
    } else {
        ensure_new(out)?;
        copy_model_new(&folder, out, &[], |_, _| Ok(()))?;
        outln!("{}", out.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// True for the name of a checkpoint file; others are folders'.
pub fn is_file_name(out: &Path) -> bool {
    out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"))
}

/// Writes the model in `folder` as the checkpoint file `out`, a new one.
///
/// # Errors
/// A file that is there already, a model that cannot be read.
pub fn write_checkpoint(folder: &Path, out: &Path) -> anyhow::Result<()> {
    ensure_new(out)?;
    if let Some(parent) = out.parent() {
        fairhuman_files::make_folder(parent).with_context(|| parent.display().to_string())?;
    }
    let model = ModelFolder::open(folder)?;
    let reduction = VaeConfig::open(&model.vae().join("config.json"))?.reduction();
    let title = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let about = About { title, date: clock::now(), resolution: nominal_size(&model, reduction)? };
    Ok(write_file(folder, out, &about)?)
}

/// Says what the checkpoint file `out`, written of the model in `folder`, has to be read with, unless nothing
/// is needed.
pub fn note_base(folder: &Path, out: &Path, choice: &ModelChoice) {
    if !reads_alone(folder, out).unwrap_or(false) {
        let base = choice.base.as_ref().map_or_else(|| model_path::named(choice), |base| base.named.clone());
        errln!(
            "note: the file alone does not describe this model, whose sizes or tokenizers are not those of SD 1.x, SD 2.x or SDXL: read it \
             with --model {} --base {} (in a recipe `base` beside `path`)",
            out.display(),
            base.display()
        );
    }
}

/// True if the file is read as the model that it was written of, its tokenizers included, and nothing else.
fn reads_alone(folder: &Path, file: &Path) -> anyhow::Result<bool> {
    let (merges, temporary) = (clip_merges()?, tempfile::tempdir()?);
    let nothing = Missing { base: None, vae: None, predicts: None, merges: &merges };
    let again = temporary.path().join("model");
    if write_folder(file, &nothing, &again).is_err() {
        return Ok(false);
    }
    let (own, again) = (ModelFolder::open(folder)?, ModelFolder::open(&again)?);
    let unet = |model: &ModelFolder| UNetConfig::open(&model.unet().join("config.json"));
    let vae = |model: &ModelFolder| VaeConfig::open(&model.vae().join("config.json"));
    // How its end is marked, and how much of it is read, a text encoder's weights do not say in any model.
    let texts = |model: &ModelFolder| -> anyhow::Result<Vec<(ClipConfig, usize)>> {
        let text = |(tokens, encoder, _): (PathBuf, PathBuf, _)| {
            let config = ClipConfig::open(&encoder.join("config.json"))?;
            let config = ClipConfig { end_token: 0, skipped: 0, ..config };
            anyhow::Ok((config, ClipTokenizer::open(&tokens)?.vocab_size()))
        };
        model.texts().into_iter().map(text).collect()
    };
    Ok(unet(&own)? == unet(&again)? && vae(&own)? == vae(&again)? && texts(&own)? == texts(&again)?)
}

/// Fails where something has the name already: a model may be all that somebody has.
///
/// # Errors
/// See above.
pub fn ensure_new(out: &Path) -> anyhow::Result<()> {
    let taken = match out.read_dir() {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => out.symlink_metadata().is_ok(),
    };
    ensure!(!taken, "{} is there already: choose another name, or move it away", out.display());
    Ok(())
}
