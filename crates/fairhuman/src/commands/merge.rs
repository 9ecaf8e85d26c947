//! `fairhuman merge`: LoRA files merged into a copy of their base.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use fairhuman_diffusion::lora::merge_loras;
use fairhuman_engine::Cpu;
use fairhuman_files::ensure_apart;

use super::convert::{ensure_new, is_file_name, note_base, write_checkpoint};
use super::sample::{lora_files, loras};
use super::there::ensure_there;
use crate::cli::Merge;
use crate::model_path;

/// Writes the merged model, a folder or a checkpoint file.
pub fn run(options: &Merge) -> anyhow::Result<ExitCode> {
    let loras = loras(&options.lora, &options.lora_weight)?;
    let mut read: Vec<(&str, &Path)> = options.model.read().collect();
    read.extend(loras.iter().map(|(file, _)| ("the LoRA file", file.path.as_path())));
    ensure_there(&read)?;
    ensure_apart(std::slice::from_ref(&options.out), &read)?;
    let model = model_path::chosen(&options.model)?;
    let (loras, cpu) = (lora_files(&loras), Cpu::new(0).context("cannot start the threads")?);
    let told = |error| model_path::lora_error(&options.model, error);
    if is_file_name(&options.out) {
        ensure_new(&options.out)?;
        let beside = options.out.parent().filter(|folder| !folder.as_os_str().is_empty());
        let beside = beside.unwrap_or(Path::new("."));
        fairhuman_files::make_folder(beside).with_context(|| beside.display().to_string())?;
        // The whole model once more, until the file is made of it.
        let merged =
            tempfile::Builder::new().prefix(".merged-").tempdir_in(beside).context("a temporary folder")?;
        let folder = merged.path().join("model");
        merge_loras(&cpu, &model, &loras, &folder).map_err(told)?;
        write_checkpoint(&folder, &options.out)?;
        note_base(&folder, &options.out, &options.model);
    } else {
        merge_loras(&cpu, &model, &loras, &options.out).map_err(told)?;
    }
    outln!("a merged model is in {}", options.out.display());
    Ok(ExitCode::SUCCESS)
}
