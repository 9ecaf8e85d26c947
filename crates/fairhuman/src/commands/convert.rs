//! `fairhuman convert`: a model as a folder or as one checkpoint file.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use fairhuman_diffusion::generate::nominal_size;
use fairhuman_diffusion::pipeline::{ModelFolder, copy_model_new};
use fairhuman_diffusion::single_file::{About, write_file};
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_files::ensure_apart;

use super::there::ensure_there;
use crate::cli::Convert;
use crate::{clock, model_path};

/// Writes the model in the form that its new name asks for.
pub fn run(options: &Convert) -> anyhow::Result<ExitCode> {
    let (model, out) = (&options.model, &options.out);
    let read: Vec<(&str, &Path)> = model.read().collect();
    ensure_there(&read)?;
    ensure_apart(std::slice::from_ref(out), &read)?;
    let folder = model_path::chosen(model)?;
    match is_file_name(out) {
        true => write_checkpoint(&folder, out)?,
        false => {
            ensure_new(out)?;
            copy_model_new(&folder, out, &[], |_, _| Ok(()))?;
        }
    }
    outln!("{}", out.display());
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
