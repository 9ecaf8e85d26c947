//! `fairhuman models`: models of the Hugging Face Hub, the detectors' networks and the built-in model, in the
//! user's cache folders.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use fairhuman_hub::{Name, Progress};
use fairhuman_vision::models::{self, Progress as Detectors, Source, VERSION};
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

use crate::cache;
use crate::cli::{GetModels, Models, ModelsAction};
use crate::hub;

/// Does what is asked for.
pub fn run(options: &Models) -> anyhow::Result<ExitCode> {
    match &options.action {
        ModelsAction::Get(options) => match &options.name {
            Some(name) => download(name),
            None => get(options),
        },
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
    let bar = bar();
    let mut stored = 0;
    models::get(&source, &folder, &mut |progress| match progress {
        Detectors::Downloading { wheel } => errln!("downloading {wheel}"),
        Detectors::Received { bytes, total } => {
            total.into_iter().for_each(|total| bar.set_length(total));
            bar.set_position(bytes);
        }
        Detectors::Stored { model } => {
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

/// A bar of bytes, with rate and time left.
fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Downloads what has a name on the Hub.
fn download(text: &str) -> anyhow::Result<ExitCode> {
    let settings = hub::settings()?;
    let name = Name::parse(text, &settings.endpoint).with_context(|| {
        format!(
            "{text:?} is no name on {}: expected org/name, org/name@revision, org/name/file.safetensors or the address of \
             one; what lies elsewhere your browser downloads, and --model takes the file",
            settings.endpoint
        )
    })?;
    let bar = bar();
    let path = fairhuman_hub::download(&settings, &name, &mut |progress| match progress {
        Progress::Files { files } => {
            let bytes = files.iter().map(|file| file.size).sum();
            bar.set_length(bytes);
            errln!(
                "{name}: {} files, {}, into {}",
                files.len(),
                DecimalBytes(bytes),
                settings.cache.display()
            );
        }
        Progress::Received { bytes } => bar.set_position(bytes),
        Progress::Again { reason, tries } => {
            bar.suspend(|| errln!("the connection broke ({reason}); trying again"));
            std::thread::sleep(Duration::from_millis(500 << tries));
        }
    })?;
    bar.finish_and_clear();
    outln!("{}", path.display());
    if path.join("model_index.json").exists() {
        errln!(
            "next: fairhuman sample --model {name} --prompt \"a portrait of a woman, waving\" --out pictures"
        );
    }
    Ok(ExitCode::SUCCESS)
}
