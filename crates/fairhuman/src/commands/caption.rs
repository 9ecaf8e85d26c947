//! `fairhuman caption`: captions of pictures by a tagger, as text files beside them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::{Context, ensure};
use fairhuman_vision::tagger::{Tagger, Thresholds};
use fairhuman_vision::{files, photo};

use crate::cli::Caption;
use crate::hub;
use crate::interrupt::{self, INTERRUPTED};
use crate::meter::Meter;
use crate::units;

/// The files of a tagger's folder or repository.
const NETWORK: &str = "model.onnx";
const TAGS: &str = "selected_tags.csv";
/// A tagger, by its name on the Hub.
const HUB_NAME: &str = "SmilingWolf/wd-vit-tagger-v3";

/// Writes the captions, and says how many.
pub fn run(options: &Caption) -> anyhow::Result<ExitCode> {
    let tagger = load(options)?;
    let folder = &options.pictures;
    ensure!(folder.is_dir(), "the pictures, {}: there is no such folder", folder.display());
    let names = files::photographs(folder, Path::new(""))?;
    let stop = interrupt::flag_that_says("leaving after the picture in work");
    let thresholds = Thresholds { general: options.threshold, character: options.character_threshold };
    let excluded: Vec<String> = options.exclude.iter().map(|tag| tag.trim().replace('_', " ")).collect();
    let meter = Meter::new("pictures");
    let (mut written, mut kept, mut skipped) = (0, 0, 0);
    for (done, name) in names.iter().enumerate() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let path = folder.join(name);
        let file = path.with_extension("txt");
        let is_there = file.symlink_metadata().is_ok();
        if is_there && !options.replace {
            kept += 1;
            meter.advance(done + 1, names.len(), false);
            continue;
        }
        match photo::read(&path) {
            Err(error) => {
                skipped += 1;
                meter.say(&format!("skipped {name}: {error}"));
            }
            Ok(picture) => {
                let tags = tagger.tags(&picture, thresholds)?;
                let tags =
                    tags.iter().map(|tag| tag.name.as_str()).filter(|tag| !excluded.iter().any(|e| e == tag));
                let all: Vec<&str> = options.prefix.iter().map(|text| text.trim()).chain(tags).collect();
                files::write(&file, format!("{}\n", all.join(", ")).as_bytes())?;
                written += 1;
            }
        }
        meter.advance(done + 1, names.len(), true);
    }
    meter.finish();
    let folder = folder.display();
    outln!(
        "{} written beside the pictures in {folder}; {kept} kept from before, {skipped} skipped",
        units::count(written, "caption")
    );
    if kept > 0 {
        errln!("note: captions that are there are kept; --replace writes them anew");
    }
    Ok(if stop.load(Ordering::SeqCst) { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// The tagger of a folder, of a network's file with its list beside it, or of a repository that was
/// downloaded.
fn load(options: &Caption) -> anyhow::Result<Tagger> {
    let place = hub::located(&options.tagger)?;
    ensure!(
        place.exists(),
        "--tagger {}: there is no such folder or file; one of the Hugging Face Hub has its full name, such as {HUB_NAME}, once \
         `fairhuman models get {HUB_NAME}` has downloaded it",
        place.display()
    );
    let network = if place.is_dir() { place.join(NETWORK) } else { place };
    let tags = options.tags.clone().unwrap_or_else(|| network.with_file_name(TAGS));
    let missing = |path: &PathBuf| format!("{}: a tagger is {NETWORK} and {TAGS}", path.display());
    ensure!(network.is_file(), missing(&network));
    ensure!(tags.is_file(), missing(&tags));
    Tagger::load(&network, &tags).context("--tagger")
}
