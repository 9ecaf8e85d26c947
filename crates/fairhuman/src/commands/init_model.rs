//! `fairhuman init-model`: a random model in SDXL's layout.

use std::process::ExitCode;

use anyhow::Context;
use fairhuman_diffusion::init;
use fairhuman_engine::{Cpu, DType};

use crate::cli::{Dtype, InitModel, Preset};

/// Writes the model.
pub fn run(options: &InitModel) -> anyhow::Result<ExitCode> {
    let folder = &options.out;
    let preset = match options.preset {
        Preset::Tiny => init::Preset::Tiny,
        Preset::Small => init::Preset::Small,
        Preset::Mini => init::Preset::Mini,
        Preset::Sdxl => init::Preset::Sdxl,
    };
    let dtype = match options.dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
    };
    init::init_model(&Cpu::new(0).context("cannot start the threads")?, preset, dtype, options.seed, folder)?;
    outln!("a random model is in {}", folder.display());
    Ok(ExitCode::SUCCESS)
}
