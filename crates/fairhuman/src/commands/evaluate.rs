//! `fairhuman evaluate`: folders of pictures scored and compared: a file of scores, a summary, a page.

mod control;
mod judges;
mod losses;
mod outcome;
mod page;
mod pairing;
mod reference;
mod sets;
mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use fairhuman_engine::Backend;
use fairhuman_evaluate::{
    METADATA, Pairs, PictureSet, Progress, Prompts, Scores, pair_up, read_prompts, score,
};
use fairhuman_files::{FolderLock, Kind, ensure_apart, ensure_ours, write_atomically};

use crate::cli::{Evaluate, JudgeChoice};
use crate::commands::there::ensure_there;
use crate::device::{self, Work};
use crate::interrupt::{self, INTERRUPTED};
use crate::meter::Meter;
use crate::units;
use judges::Judges;
use outcome::{JudgeRecord, Outcome};

/// Names of the results in their folder.
const SCORES: &str = "scores.jsonl";
const FEATURES: &str = "features.jsonl";
const REFERENCE: &str = "reference.jsonl";
const SUMMARY: &str = "summary.json";
const PAGE: &str = "report.html";

/// Scores the pictures, compares, and says where everything is.
pub fn run(options: &Evaluate) -> anyhow::Result<ExitCode> {
    if options.losses.losses {
        return losses::run(options);
    }
    ensure!(
        options.losses.model.model.is_none() && options.losses.loras.lora.is_empty(),
        "--model and --lora go with --losses; pictures are scored as they lie in their folders"
    );
    let written = [SCORES, SUMMARY, PAGE, FEATURES, REFERENCE].map(|name| options.out.join(name));
    let mut read: Vec<(&str, &Path)> =
        options.folders.iter().map(|f| ("a folder of pictures", &**f)).collect();
    read.extend(options.prompts.iter().map(|file| ("the file of prompts", file.as_path())));
    read.extend(options.reference.iter().map(|folder| ("the reference", folder.as_path())));
    read.extend(options.judge.iter().filter_map(|judge| Some(("the weights of a judge", judge.weights()?))));
    ensure_there(&read)?;
    ensure_apart(&written, &read)?;
    ensure_ours(&written[1], Kind::Report)?;
    ensure_ours(&written[2], Kind::Page)?;
    let prompts = options.prompts.as_deref().map(read_prompts).transpose()?;
    let mut sets = sets(&options.folders, prompts.as_ref())?;
    let pairs = pair_up(&mut sets);
    let _lock = FolderLock::take_for_a_while(&options.out)?;
    let stop = interrupt::flag_that_says("leaving after the pictures in work");
    let work = Evaluating { options, sets, pairs, written: &written, stop: &stop };
    match device::run(options.compute.device, options.compute.into(), work)? {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(INTERRUPTED)),
    }
}

fn sets(folders: &[PathBuf], prompts: Option<&Prompts>) -> anyhow::Result<Vec<PictureSet>> {
    let mut sets: Vec<PictureSet> = Vec::new();
    for folder in folders {
        ensure!(
            sets.iter().all(|set| set.folder != *folder),
            "{} is named twice: its pictures differ from themselves in nothing",
            folder.display()
        );
        if matches!(prompts, Some(Prompts::Rows(_))) && folder.join(METADATA).is_file() {
            errln!("note: {} is read by its own {METADATA}, and not by --prompts", folder.display());
        }
        sets.push(PictureSet::open(folder, prompts)?);
    }
    Ok(sets)
}

struct Evaluating<'a> {
    options: &'a Evaluate,
    sets: Vec<PictureSet>,
    pairs: Vec<Pairs>,
    written: &'a [PathBuf; 5],
    stop: &'a AtomicBool,
}

impl Work for Evaluating<'_> {
    /// False if it was interrupted.
    type Output = bool;

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<bool> {
        let Evaluating { options, mut sets, pairs, written, stop } = self;
        let judges = Judges::new(options)?;
        if let Some(judge) = judges.detection() {
            if let Some(folder) = &options.reference
                && !reference::add_truth(&mut sets, folder, &judge, (&written[4], stop))?
            {
                return Ok(false);
            }
            control::add_truth(&mut sets)?;
        }
        let mut scores = Scores::open(&written[0])?;
        note_damaged(&written[0], scores.damaged());
        let pictures: usize = sets.iter().map(|set| set.pictures.len()).sum();
        let mut all = Vec::new();
        let mut records = Vec::new();
        for choice in judges.choices() {
            let Some(judge) = judges.load(backend, choice)? else { continue };
            let meter = Meter::new("pictures");
            errln!("{}: {}", judge.name(), units::count(pictures as u64, "picture"));
            let mut progress = |progress| advance(&meter, progress);
            let found = score(&sets, &*judge, &mut scores, stop, &mut progress);
            meter.finish();
            match found? {
                Some(found) => all.extend(found),
                None => return Ok(false),
            }
            judge.notes().iter().for_each(|note| errln!("note: {note}"));
            records.push(JudgeRecord::of(&*judge));
        }
        let found = sets::measure(backend, &judges, &sets, options, (&written[3], stop))?;
        let Some(found) = found else { return Ok(false) };
        if stop.load(Ordering::SeqCst) {
            return Ok(false);
        }
        scores.finish(&all)?;
        let outcome = Outcome::new((sets, pairs), records, &all, found);
        write(&written[1], &summary::text(&outcome))?;
        write(&written[2], &page::html(&outcome, options)?)?;
        outcome.print();
        outln!("{}: open it in a browser", written[2].display());
        Ok(true)
    }
}

/// Says that lines of an earlier evaluation are not used.
fn note_damaged(file: &Path, lines: usize) {
    if lines > 0 {
        let count = units::count(lines as u64, "line");
        errln!("note: {}: {count} cut or altered, or of an earlier version: made again", file.display());
    }
}

/// Shows pictures that a judge is done with; those that were known already do not count for the rate.
fn advance(meter: &Meter, progress: Progress) {
    meter.advance_by(progress.done, progress.total, progress.scored);
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_atomically(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// The judges of the command line, each once; without any the detectors.
fn choices(options: &Evaluate) -> Vec<JudgeChoice> {
    let mut choices: Vec<JudgeChoice> = Vec::new();
    for choice in &options.judge {
        if !choices.contains(choice) {
            choices.push(choice.clone());
        }
    }
    if choices.is_empty() { vec![JudgeChoice::Detection] } else { choices }
}
