//! The results of an evaluation: levels of every folder, differences of each from the first.

use fairhuman_evaluate::{
    Better, Difference, Judge, Level, Metric, Pairs, PictureSet, Score, correct, difference, level,
};

use super::pairing;
use super::sets::{Distance, OfSets};
use crate::units::short;

/// A judge that has scored.
pub struct JudgeRecord {
    /// Its name.
    pub name: &'static str,
    /// Its weights and conventions.
    pub identity: String,
    /// Its metrics.
    pub metrics: Vec<Metric>,
}

impl JudgeRecord {
    /// The record of a judge.
    pub fn of(judge: &dyn Judge) -> Self {
        Self { name: judge.name(), identity: judge.identity().to_owned(), metrics: judge.metrics().to_vec() }
    }
}

/// A metric in all folders.
pub struct Measured {
    /// The metric.
    pub metric: Metric,
    /// Scores of each folder's pictures.
    pub scores: Vec<Vec<Option<f64>>>,
    /// Each folder's level.
    pub levels: Vec<Level>,
    /// The difference of each folder but the first from the first.
    pub differences: Vec<Difference>,
}

/// All results.
pub struct Outcome {
    /// The folders.
    pub sets: Vec<PictureSet>,
    /// Pairs of the first folder's pictures with each other's.
    pub pairs: Vec<Pairs>,
    /// The judges.
    pub judges: Vec<JudgeRecord>,
    /// The metrics of all judges.
    pub measured: Vec<Measured>,
    /// Distances of sets.
    pub distances: Vec<Distance>,
}

impl Outcome {
    /// Compares the folders by their scores, which are judge by judge in the order of the pictures and then
    /// of the metrics.
    pub fn new(
        (sets, pairs): (Vec<PictureSet>, Vec<Pairs>),
        mut judges: Vec<JudgeRecord>,
        scores: &[Score],
        of_sets: OfSets,
    ) -> Self {
        let mut measured: Vec<Measured> = Vec::new();
        for metric in judges.iter().flat_map(|judge| &judge.metrics) {
            let mut own = scores.iter().filter(|score| score.judge == metric.name).map(|score| score.score);
            let of = |set: &PictureSet| own.by_ref().take(set.pictures.len()).collect::<Vec<_>>();
            let scores: Vec<Vec<Option<f64>>> = sets.iter().map(of).collect();
            let levels = sets.iter().zip(&scores).map(|(set, scores)| level(set, scores)).collect();
            let differences = pairs.iter().zip(&scores[1..]);
            let differences = differences
                .map(|(pairs, other)| difference((&sets[0], &scores[0]), other, pairs, metric.better));
            let differences = differences.collect();
            measured.push(Measured { metric: metric.clone(), scores, levels, differences });
        }
        judges.extend(of_sets.judges);
        measured.extend(of_sets.diversity);
        for i in 0..pairs.len() {
            correct(measured.iter_mut().map(|m| &mut m.differences[i]));
        }
        Self { sets, pairs, judges, measured, distances: of_sets.distances }
    }

    /// Why a comparison has no pairs; none where it has some.
    pub fn why_no_pairs(&self, i: usize) -> Option<String> {
        let names = self.names();
        let sets = [&self.sets[0], &self.sets[i + 1]];
        self.pairs[i].pairs.is_empty().then(|| pairing::why_none(sets, [&names[0], &names[i + 1]]))
    }

    /// The folders' names: their last parts, or the whole paths where these are the same.
    pub fn names(&self) -> Vec<String> {
        let last = |set: &PictureSet| {
            set.folder
                .file_name()
                .map_or_else(|| set.folder.display().to_string(), |name| name.to_string_lossy().into_owned())
        };
        let names: Vec<String> = self.sets.iter().map(last).collect();
        let is_shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
        match names.iter().any(is_shared) {
            true => self.sets.iter().map(|set| set.folder.display().to_string()).collect(),
            false => names,
        }
    }

    /// The table on standard output.
    pub fn print(&self) {
        let names = self.names();
        for (set, name) in self.sets.iter().zip(&names) {
            let missing = match set.missing.len() {
                0 => String::new(),
                n => format!(", {n} missing, such as {:?}", set.missing[0]),
            };
            let left_out = match set.left_out.len() {
                0 => String::new(),
                n => format!(", {n} left out that carry no prompt, such as {:?}", set.left_out[0]),
            };
            outln!("{name}: {} pictures{missing}{left_out}", set.pictures.len());
        }
        for (i, (other, pairs)) in names.iter().skip(1).zip(&self.pairs).enumerate() {
            let by = if pairs.by_name { ", by file name" } else { "" };
            let lone = pairs.only_first.len() + pairs.only_second.len();
            let lone = if lone > 0 { format!("; {lone} pictures without a partner") } else { String::new() };
            outln!("{} and {other}: {} pairs{by}{lone}", names[0], pairs.pairs.len());
            if let Some(why) = self.why_no_pairs(i) {
                outln!("  {why}");
            }
        }
        let is_scored = |m: &&Measured| m.levels.iter().any(|level| level.scored > 0);
        let (scored, not_scored): (Vec<&Measured>, Vec<&Measured>) =
            self.measured.iter().partition(is_scored);
        for measured in scored {
            outln!("{}", line(measured, &names, &self.pairs));
        }
        if !not_scored.is_empty() {
            let metrics: Vec<&str> = not_scored.iter().map(|m| m.metric.name.as_str()).collect();
            outln!("not scored: {} (there is nothing to compare with)", metrics.join(", "));
        }
        let is_unscored = |m: &Measured| m.differences.iter().any(|d| d.mean.is_none() && d.unscored > 0);
        if self.measured.iter().any(is_unscored) {
            outln!("{UNSCORED}");
        }
        for distance in &self.distances {
            let values = names.iter().zip(&distance.values);
            let values: Vec<String> = values
                .map(|(name, (value, count))| format!("{name} {} (of {count})", number(*value)))
                .collect();
            outln!("{} to {}: {}", distance.metric.name, distance.reference, values.join(", "));
        }
    }
}

/// A number with three digits, or a dash.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), short)
}

/// A number with its sign.
pub fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", short(value)) } else { short(value) }
}

fn line(measured: &Measured, names: &[String], pairs: &[Pairs]) -> String {
    let levels: Vec<String> = names
        .iter()
        .zip(&measured.levels)
        .map(|(name, level)| {
            let of = match level.scored == level.pictures {
                true => String::new(),
                false => format!(" ({} of {} scored)", level.scored, level.pictures),
            };
            format!("{name} {}{of}", number(level.mean))
        })
        .collect();
    let mut text = format!("{}: {}", measured.metric.name, levels.join(", "));
    for (difference, pairs) in measured.differences.iter().zip(pairs) {
        text += &format!("; {}", sentence(difference, &measured.metric, pairs.pairs.len()));
    }
    text
}

/// The word for a difference: one that the sign test does not find is not shown.
pub fn verdict(difference: &Difference, better: Better) -> &'static str {
    match difference.mean.filter(|_| difference.is_significant()) {
        None => "not shown",
        Some(mean) if (mean > 0.0) == (better == Better::Higher) => "better",
        Some(_) => "worse",
    }
}

/// The remedy for pictures without scores.
const UNSCORED: &str = "what is expected gives scores: prompts that name people or hands, numbers of faces and hands in\n\
     --prompts LIST.jsonl, or --reference (docs/evaluate.md)";

/// The sentence of a metric's definition that says which pictures have no score.
fn unscored(metric: &Metric) -> &str {
    metric.about.split("; ").find(|part| part.starts_with("no score")).unwrap_or("no score")
}

/// A difference in words, of a comparison of `pairs` pairs.
fn sentence(difference: &Difference, metric: &Metric, pairs: usize) -> String {
    let Some(mean) = difference.mean else {
        return match pairs {
            0 => "no difference, without pairs".into(),
            n => format!("no difference, none of {n} pairs has both scores ({})", unscored(metric)),
        };
    };
    let verdict = verdict(difference, metric.better);
    let interval = difference
        .corrected
        .map_or_else(String::new, |[low, high]| format!(" [{}, {}]", signed(low), signed(high)));
    let p = format!("p {}", short(difference.p_holm));
    let least = match (difference.is_significant(), difference.detectable) {
        (false, Some(least)) if least > 0.0 => format!(", detectable {}", short(least)),
        _ => String::new(),
    };
    format!(
        "{}{interval}, {verdict}, won {} lost {}, {p}{least}",
        signed(mean),
        difference.wins,
        difference.losses
    )
}
