//! `summary.json`: everything that a table of a paper needs, and what decides the numbers.

use fairhuman_evaluate::RESAMPLES;
use serde_json::{Map, Value, json};

use super::outcome::Outcome;
use super::pairing;
use super::sets::Distance;

/// The file's text.
pub fn text(outcome: &Outcome) -> String {
    let folder = |set: &fairhuman_evaluate::PictureSet| json!({"folder": set.folder.display().to_string(), "pictures": set.pictures.len(), "missing": set.missing, "left_out": set.left_out});
    let judges: Vec<Value> = outcome
        .judges
        .iter()
        .map(|judge| json!({"judge": judge.name, "by": judge.identity, "metrics": judge.metrics}))
        .collect();
    let levels = |i: usize| -> Map<String, Value> {
        outcome.measured.iter().map(|m| (m.metric.name.clone(), json!(m.levels[i]))).collect()
    };
    let comparison = |i: usize| {
        let pairs = &outcome.pairs[i];
        let differences: Map<String, Value> =
            outcome.measured.iter().map(|m| (m.metric.name.clone(), json!(m.differences[i]))).collect();
        json!({
            "first": outcome.sets[0].folder.display().to_string(),
            "second": outcome.sets[i + 1].folder.display().to_string(),
            "pairs": pairs.pairs.len(),
            "paired_by": pairing::by(pairs),
            "why_no_pairs": outcome.why_no_pairs(i),
            "only_first": pairs.only_first,
            "only_second": pairs.only_second,
            "differences": differences,
        })
    };
    let distance = |distance: &Distance| {
        let (values, counts): (Vec<Option<f64>>, Vec<usize>) = distance.values.iter().copied().unzip();
        json!({
            "metric": distance.metric.name,
            "reference": distance.reference,
            "reference_count": distance.reference_count,
            "values": values,
            "counts": counts,
        })
    };
    let summary = json!({
        "fairhuman": env!("CARGO_PKG_VERSION"),
        "statistics": {
            "unit": "prompt; of pictures without one the picture",
            "intervals": "95 %, bootstrap over units, by percentiles and corrected (BCa)",
            "resamples": RESAMPLES,
            "p": "two-sided sign test over units; p_holm: Holm's correction over the metrics of a comparison",
            "detectable": "difference found in 4 of 5 such experiments by a paired test at 5 %",
        },
        "folders": outcome.sets.iter().map(folder).collect::<Vec<_>>(),
        "judges": judges,
        "levels": (0..outcome.sets.len()).map(levels).collect::<Vec<_>>(),
        "distances": outcome.distances.iter().map(distance).collect::<Vec<_>>(),
        "comparisons": (0..outcome.pairs.len()).map(comparison).collect::<Vec<_>>(),
    });
    format!("{summary:#}\n")
}
