//! `fairhuman init-model`: a random model in SDXL's layout.

use std::process::ExitCode;

use anyhow::Context;
use fairhuman_diffusion::init;
use fairhuman_engine::{Cpu, DType};

use crate::cli::{Dtype, InitModel, Preset};

/// The type of stored weights.
pub(super) fn stored(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
    }
}

/// Writes the model.
pub fn run(options: &InitModel) -> anyhow::Result<ExitCode> {
    let folder = &options.out;
    let preset = match options.preset {
        Preset::Tiny => init::Preset::Tiny,
        Preset::Small => init::Preset::Small,
        Preset::Mini => init::Preset::Mini,
        Preset::Sdxl => init::Preset::Sdxl,
    };
    let (backend, dtype) = (Cpu::new(0).context("cannot start the threads")?, stored(options.dtype));
    init::init_model(&backend, preset, dtype, options.seed, folder)?;
    outln!("a random model is in {}", folder.display());
    Ok(ExitCode::SUCCESS)
}
