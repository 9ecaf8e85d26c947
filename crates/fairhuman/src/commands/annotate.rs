//! `fairhuman annotate`: photographs to a dataset, or a count of what is found of annotated ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use fairhuman_engine::Backend;
use fairhuman_files::FolderLock;
use fairhuman_vision::annotate::{self, Outcome, Progress, Summary};
use fairhuman_vision::evaluate::{
    GroundTruth, OVERLAP, Score, Scores, evaluate, read_people, read_wholebody,
};
use fairhuman_vision::masks;
use fairhuman_vision::pipeline::Pipeline;

use super::finders::Finders;
use super::there::ensure_there;
use crate::cli::{Annotate, Shape};
use crate::interrupt::{self, INTERRUPTED};
use crate::machine;
use crate::meter::Meter;
use crate::units::{count, duration};

/// Loads the networks, and looks.
pub fn run(options: &Annotate) -> anyhow::Result<ExitCode> {
    let mut read = vec![("the photographs", options.photos.as_path())];
    read.extend(options.evaluate.iter().map(|path| ("the annotations", path.as_path())));
    ensure_there(&read)?;
    let photos = &options.photos;
    ensure!(photos.is_dir(), "the photographs, {}: expected a folder, and it is a file", photos.display());
    let finders = Finders::load(options.models.as_deref(), &options.networks)?;
    let pipeline = finders.pipeline();
    let threads = machine::backend(options.threads)?;
    match (&options.evaluate, &options.out) {
        (Some(annotations), _) => threads.scope(|| count_found(&options.photos, annotations, &pipeline)),
        (None, Some(out)) => {
            let _lock = FolderLock::take_for_a_while(out)?;
            let stop = interrupt::flag_that_says("leaving after the photographs in work");
            threads.scope(|| dataset(options, out, &pipeline, &stop))
        }
        (None, None) => anyhow::bail!("--out DIR is missing"),
    }
}

fn dataset(
    options: &Annotate,
    out: &Path,
    pipeline: &Pipeline,
    stop: &AtomicBool,
) -> anyhow::Result<ExitCode> {
    let how = annotate::Options {
        zoom: !options.no_zoom,
        shape: match options.shape {
            Shape::Box => masks::Shape::Box,
            Shape::Outline => masks::Shape::Outline,
        },
        caption: options.caption.clone(),
    };
    let meter = Meter::new("photographs");
    let numbered = Mutex::new(BTreeMap::new());
    let show = |progress: Progress| {
        if let (Some((folder, n)), Ok(mut numbered)) =
            (repeats(&options.photos, &progress.photo), numbered.lock())
        {
            numbered.insert(folder, n);
        }
        if let Outcome::Skipped(reason) = &progress.outcome {
            meter.say(&format!("skipped {}: {reason}", progress.photo));
        }
        meter.advance(progress.done, progress.total, matches!(progress.outcome, Outcome::Annotated(..)));
    };
    let summary = annotate::annotate(&options.photos, out, &how, pipeline, stop, &show)?;
    let seconds = meter.finish();
    note_repeats(&numbered.into_inner().unwrap_or_default());
    tell(&summary, out, seconds);
    Ok(match summary {
        Summary { interrupted: true, .. } => ExitCode::from(INTERRUPTED),
        Summary { photographs: 0, .. } => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

/// Says how the repeats of folders in kohya's layout are kept: the dataset has none.
fn note_repeats(folders: &BTreeMap<String, u32>) {
    if folders.is_empty() {
        return;
    }
    errln!(
        "note: the numbers in the folders' names are not part of the dataset. If they are repeats, as kohya's scripts read \
         them, keep them by these lines at the end of the recipe:"
    );
    for (folder, n) in folders {
        errln!("  [[dataset.folders]]\n  path = {folder:?}\n  repeats = {n}");
    }
}

/// The dataset's folder of a photograph from a folder called `N_name`, and N, unless that is 1 or so large
/// that it is rather a year.
fn repeats(photos: &Path, photo: &str) -> Option<(String, u32)> {
    let number = |name: &str| {
        let number = name.split_once('_')?.0.parse::<u32>().ok();
        number.filter(|n| (2..=1000).contains(n))
    };
    let (folder, _) = photo.split_once('/').unwrap_or_default();
    let inner = number(folder).map(|n| (format!("images/{folder}"), n));
    let outer = || Some(("images".to_owned(), number(photos.file_name()?.to_str()?)?));
    inner.or_else(outer)
}

fn tell(summary: &Summary, out: &Path, seconds: f64) {
    let kept = summary.photographs - summary.annotated;
    let rate = match summary.annotated {
        0 => String::new(),
        n => format!(", {:.2} photographs per second", n as f64 / seconds.max(1e-9)),
    };
    outln!(
        "{} photographs in {}: {} with a face, {} with a hand; {} skipped",
        summary.photographs,
        out.display(),
        summary.with_faces,
        summary.with_hands,
        summary.problems.len()
    );
    let captions = match summary.new_captions {
        0 => String::new(),
        n => format!(", {} changed", count(n as u64, "caption")),
    };
    outln!(
        "{} looked at now, {kept} kept from before{captions}; {}{rate}",
        summary.annotated,
        duration(seconds)
    );
    if summary.edited > 0 {
        outln!("{} masks that were painted, added or deleted by hand stay as they are", summary.edited);
    }
    if summary.captions > 0 {
        outln!("{} captions that were changed by hand in metadata.jsonl stay as they are", summary.captions);
    }
    match summary {
        Summary { interrupted: true, .. } => outln!("interrupted: the same command again continues"),
        Summary { photographs: 0, .. } => outln!("nothing to make a dataset of"),
        _ => {
            outln!("to look at: {}", out.join("index.html").display());
            errln!("next: fairhuman check {}", out.display());
        }
    }
}

/// The table of what is found of annotated regions.
fn count_found(photos: &Path, annotations: &Path, pipeline: &Pipeline) -> anyhow::Result<ExitCode> {
    let truths: Vec<GroundTruth> = match annotations.is_dir() {
        true => read_people(annotations)?,
        false => read_wholebody(annotations, photos)?,
    };
    let meter = Meter::new("photographs");
    let all = truths.len();
    let result = evaluate(&truths, pipeline, &|done| meter.advance(done, all, true))
        .context("the annotated photographs cannot be counted")?;
    meter.finish();
    outln!("{all} photographs; found: at an intersection over union of {OVERLAP} or more\n");
    outln!(
        "{:10} {:6} {:>9} {:>6} {:>6} {:>7} {:>10}",
        "",
        "",
        "annotated",
        "found",
        "false",
        "recall",
        "precision"
    );
    for (pass, scores) in [("whole", result.whole), ("with zoom", result.zoom)] {
        let Scores { faces, hands, max_false_positives } = scores;
        row(pass, "faces", faces);
        row("", "hands", hands);
        outln!("{:10} most false regions in one photograph: {max_false_positives}", "");
    }
    Ok(ExitCode::SUCCESS)
}

fn row(pass: &str, what: &str, score: Score) {
    let percent = |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.1}%", 100.0 * share));
    outln!(
        "{pass:10} {what:6} {:>9} {:>6} {:>6} {:>7} {:>10}",
        score.annotated,
        score.true_positives,
        score.detected - score.true_positives,
        percent(score.recall()),
        percent(score.precision())
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::repeats;

    #[test]
    fn repeats_are_those_of_the_folder_that_is_named_after_them() {
        let of = |photos: &str, photo: &str| repeats(Path::new(photos), photo);
        assert_eq!(of("photos", "10_sks/a.jpg"), Some(("images/10_sks".into(), 10)));
        assert_eq!(of("photos/10_sks/", "a.jpg"), Some(("images".into(), 10)));
        for other in ["1_sks/a.jpg", "2024_summer/a.jpg", "sks/a.jpg", "10_a.jpg"] {
            assert_eq!(of("photos", other), None, "{other}");
        }
    }
}
