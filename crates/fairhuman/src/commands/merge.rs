//! `fairhuman merge`: LoRA files merged into a copy of their base.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use fairhuman_diffusion::lora::merge_loras;
use fairhuman_engine::Cpu;
use fairhuman_files::ensure_apart;

use super::sample::loras;
use crate::cli::Merge;
use crate::model_path;

/// Writes the merged model's folder.
pub fn run(options: &Merge) -> anyhow::Result<ExitCode> {
    let loras = loras(&options.lora, &options.lora_weight)?;
    let mut read: Vec<(&str, &Path)> =
        options.model.model.iter().map(|model| ("the model", model.as_path())).collect();
    read.extend(loras.iter().map(|(file, _)| ("the LoRA file", file.as_path())));
    ensure_apart(std::slice::from_ref(&options.out), &read)?;
    let model = model_path::chosen(&options.model)?;
    merge_loras(&Cpu::new(0).context("cannot start the threads")?, &model, &loras, &options.out)?;
    outln!("a merged model is in {}", options.out.display());
    Ok(ExitCode::SUCCESS)
}
