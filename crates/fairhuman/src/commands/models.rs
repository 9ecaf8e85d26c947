//! `fairhuman models`: the detectors' networks and the built-in model, in the user's cache folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use fairhuman_vision::models::{self, Progress, Source, VERSION};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cache;
use crate::cli::{GetModels, Models, ModelsAction};

/// Does what is asked for.
pub fn run(options: &Models) -> anyhow::Result<ExitCode> {
    match &options.action {
        ModelsAction::Get(options) => get(options),
        ModelsAction::Builtin => {
            outln!("{}", cache::builtin_model()?.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The folder that holds the networks: the given one, or one in the user's cache folder.
pub fn folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = given {
        return Ok(folder.to_owned());
    }
    let cache = cache::folder().context("this user has no cache folder: say --models DIR")?;
    Ok(cache.join(format!("mediapipe-{VERSION}")))
}

fn get(options: &GetModels) -> anyhow::Result<ExitCode> {
    let folder = folder(options.models.as_deref())?;
    let source = match &options.wheel {
        Some(wheel) => Source::Wheel(wheel.clone()),
        None => Source::Index(options.index.clone()),
    };
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut stored = 0;
    models::get(&source, &folder, &mut |progress| match progress {
        Progress::Downloading { wheel } => errln!("downloading {wheel}"),
        Progress::Received { bytes, total } => {
            total.into_iter().for_each(|total| bar.set_length(total));
            bar.set_position(bytes);
        }
        Progress::Stored { model } => {
            stored += 1;
            bar.suspend(|| outln!("{}", folder.join(model).display()));
        }
    })?;
    bar.finish_and_clear();
    match stored {
        0 => outln!("all networks are already in {}", folder.display()),
        n => outln!("{n} networks stored, each with its published SHA-256"),
    }
    Ok(ExitCode::SUCCESS)
}
