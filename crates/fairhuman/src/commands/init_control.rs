//! `fairhuman init-control`: a control network for a model, as training starts it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use fairhuman_diffusion::adapter::AdapterKind;
use fairhuman_diffusion::controlnet::Start;
use fairhuman_diffusion::init::{ControlInit, init_control};
use fairhuman_engine::Cpu;
use fairhuman_files::ensure_apart;

use super::init_model::stored;
use super::there::ensure_there;
use crate::cli::{ControlKind, InitControl};
use crate::model_path;

/// Writes the network.
pub fn run(options: &InitControl) -> anyhow::Result<ExitCode> {
    ensure_there(&options.model.read().collect::<Vec<_>>())?;
    let model = model_path::chosen(&options.model)?;
    let written: Vec<_> = [options.out.clone()].into_iter().chain(options.file.clone()).collect();
    ensure_apart(&written, &[("the model", &*model)])?;
    let inside = options.file.iter().map(|file| ("the file of --file", file.as_path()));
    ensure_apart(std::slice::from_ref(&options.out), &inside.collect::<Vec<_>>())?;
    if let Some(file) = options.file.as_deref().filter(|file| file.symlink_metadata().is_ok()) {
        bail!("{} is there already: choose another --file, or move it away", file.display());
    }
    if let Some(folder) = options.file.as_deref().and_then(Path::parent) {
        fairhuman_files::make_folder(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let init = match options.kind {
        ControlKind::Controlnet if options.random => ControlInit::ControlNet(Start::Random),
        ControlKind::Controlnet => ControlInit::ControlNet(Start::Zero),
        ControlKind::T2iFull => ControlInit::Adapter(AdapterKind::Full),
        ControlKind::T2iXl => ControlInit::Adapter(AdapterKind::FullXl),
        ControlKind::T2iLight => ControlInit::Adapter(AdapterKind::Light),
    };
    let backend = Cpu::new(0).context("cannot start the threads")?;
    let (dtype, file) = (stored(options.dtype), options.file.as_deref());
    init_control(&backend, &model, init, (dtype, options.seed), &options.out, file)?;
    outln!("a control network is in {}", options.out.display());
    if let Some(file) = file.map(Path::display) {
        outln!("  {file}");
    }
    Ok(ExitCode::SUCCESS)
}
