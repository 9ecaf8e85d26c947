//! `fairhuman report`: run folders to one web page.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use fairhuman_diffusion::weights::write_atomically;
use fairhuman_files::{Kind, ensure_apart, ensure_ours};
use fairhuman_report::{Run, html, recommendation};

use super::runs::ensure_run;
use crate::cli::Report;
use crate::machine;

/// Moments of training whose pictures are shown, for each run.
const SAMPLES: usize = 5;

/// Reads the runs, writes the page, and says where it is.
pub fn run(options: &Report) -> anyhow::Result<ExitCode> {
    if !options.name.is_empty() && options.name.len() != options.runs.len() {
        let (runs, names) = (options.runs.len(), options.name.len());
        bail!("runs: {runs}, --name: {names}; give a name for each run, or none");
    }
    let files = ["events.jsonl", "recipe.toml"];
    let read: Vec<PathBuf> =
        options.runs.iter().flat_map(|run| files.iter().map(|file| run.join(file))).collect();
    let read: Vec<(&str, &Path)> = read.iter().map(|file| ("a run's file", file.as_path())).collect();
    ensure_apart(std::slice::from_ref(&options.out), &read)?;
    ensure_ours(&options.out, Kind::Page)?;
    // Of what is no folder the reader tells.
    options.runs.iter().filter(|run| run.is_dir()).try_for_each(|run| ensure_run(run))?;
    let mut runs = options.runs.iter().map(|folder| Run::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let names = names(&options.name, &options.runs, &runs);
    for ((run, name), folder) in runs.iter_mut().zip(names).zip(&options.runs) {
        run.name = name;
        run.add_samples(folder, SAMPLES);
    }
    // The runs of a comparison nearly always share their pictures: those of the one with most regions say it.
    let most = runs.iter_mut().rev().max_by_key(|run| run.objectives().len());
    if let Some(run) = most.filter(|_| options.pictures > 0) {
        run.add_pictures(options.pictures);
    }
    let title = match runs.as_slice() {
        [run] => format!("Training run {}", run.name),
        runs => runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(" and "),
    };
    let mut report = fairhuman_report::Report::new(title);
    report.runs = runs;
    report.about = vec![
        ("Page made by".into(), format!("fairhuman {}", env!("CARGO_PKG_VERSION"))),
        ("on".into(), machine::description()),
    ];
    let page = html(&report);
    let again = if options.out.symlink_metadata().is_ok() { ", the earlier one is replaced" } else { "" };
    if let Some(folder) = options.out.parent() {
        fairhuman_files::make_folder(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    write_atomically(&options.out, page.as_bytes())
        .with_context(|| format!("cannot write {}", options.out.display()))?;
    for note in report.runs.iter().flat_map(|run| &run.notes) {
        errln!("note: {note}");
    }
    outln!("{} ({:.1} MB{again}): open it in a browser", options.out.display(), page.len() as f64 / 1e6);
    for run in &report.runs {
        if let Some(line) = recommendation(run) {
            outln!("fixed weights for a recipe, the mean of those of {}: {line}", run.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The names that were given, or the folders' names; where two are the same, the paths as typed.
fn names(given: &[String], paths: &[PathBuf], runs: &[Run]) -> Vec<String> {
    if !given.is_empty() {
        return given.to_vec();
    }
    let twice = |run: &Run| runs.iter().filter(|other| other.name == run.name).count() > 1;
    let name = |(run, path): (&Run, &PathBuf)| {
        if twice(run) { path.display().to_string() } else { run.name.clone() }
    };
    runs.iter().zip(paths).map(name).collect()
}
