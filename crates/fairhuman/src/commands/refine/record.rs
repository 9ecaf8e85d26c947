//! The results of a picture as they are stored, and the report of all.

use std::path::Path;

use fairhuman_files::{MARK, sha256_hex, write_atomically};
use fairhuman_refine::Verdict;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::plan::{Plan, Task};
use super::work::Judged;

/// A refined picture. It is written when everything else of the picture is there: what has one is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its path in the folder of pictures.
    pub picture: String,
    /// The refined picture's path in the folder of results.
    pub file: String,
    /// Of the picture's file.
    pub sha256: String,
    /// Digest of all else that decides the result.
    pub settings: String,
    /// The picture's own prompt.
    pub prompt: String,
    pub width: u32,
    pub height: u32,
    pub mode: String,
    pub regions: Vec<RegionRecord>,
    /// Digest of the refined picture's file.
    pub made: String,
    pub seconds: f64,
}

impl Record {
    /// The texts of the refined picture's file: those of the original, so that it still says what it was
    /// made of. This record is added to the list `refined` of those under our mark, which come first, because
    /// the mark is looked for at the beginning of a file.
    pub fn texts(&self, original: Vec<(String, String)>, settings: &Value) -> Vec<(String, String)> {
        let own = original.iter().find(|(keyword, _)| keyword == MARK);
        let own = own.and_then(|(_, text)| serde_json::from_str::<Map<String, Value>>(text).ok());
        let mut made = own.unwrap_or_default();
        let before = made.get("refined").and_then(Value::as_array).cloned().unwrap_or_default();
        made.insert("refined".into(), before.into_iter().chain([self.told(settings)]).collect());
        let others = original.into_iter().filter(|(keyword, _)| keyword != MARK);
        [(MARK.to_owned(), Value::from(made).to_string())].into_iter().chain(others).collect()
    }

    /// All but the time and the file's own digest, so that the same result has the same bytes, and of the
    /// run's `settings` the networks.
    fn told(&self, settings: &Value) -> Value {
        let mut value = json!(self);
        if let Some(fields) = value.as_object_mut() {
            fields.shift_remove("seconds");
            fields.shift_remove("made");
            for networks in ["loras", "controls"] {
                fields.insert(networks.into(), settings[networks].clone());
            }
        }
        value
    }
}

/// A region of a picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegionRecord {
    pub kind: String,
    /// Left, top, right, bottom in pixels of the picture.
    #[serde(rename = "box")]
    pub bounds: [f64; 4],
    pub prompt: String,
    /// The part of the picture that the model was shown, likewise.
    pub crop: [f64; 4],
    /// The factor by which it was enlarged.
    pub enlarged: f64,
    /// True if control networks ran.
    pub control: bool,
    /// Score before.
    pub before: Option<f64>,
    /// Score of the refined region; none if it was not found, or nobody looked.
    pub after: Option<f64>,
    /// kept, lost, worse, unchecked; none where nothing was painted.
    pub verdict: Option<String>,
}

/// The regions of a plan, with their verdicts where there are some.
pub fn regions(plan: &Plan, judged: &[Judged], with_control: bool) -> Vec<RegionRecord> {
    let corners = |r: fairhuman_refine::Rect| [r.x0, r.y0, r.x1, r.y1].map(|v| (v * 10.0).round() / 10.0);
    let region = |(i, task): (usize, &Task)| {
        let tile = &plan.sheets[task.place.0].tiles[task.place.1];
        let judged = judged.get(i);
        RegionRecord {
            kind: task.region.kind.name().into(),
            bounds: corners(task.region.bounds),
            prompt: task.prompt.clone(),
            crop: corners(tile.source),
            enlarged: (tile.scale * 1000.0).round() / 1000.0,
            control: with_control && plan.is_controlled(task.place.0),
            before: judged.map_or(task.region.score, |judged| judged.before),
            after: judged.and_then(|judged| judged.after),
            verdict: judged.map(|judged| judged.verdict.name().into()),
        }
    };
    plan.tasks.iter().enumerate().map(region).collect()
}

/// The record that an earlier run left, if it is of this file with these settings and its picture is there,
/// whole.
pub fn done(file: &Path, out: &Path, sha256: &str, settings: &str) -> Option<Record> {
    let record: Record = serde_json::from_slice(&fairhuman_files::read(file).ok()?).ok()?;
    let same = record.sha256 == sha256 && record.settings == settings;
    let is_whole =
        || fairhuman_files::read(out.join(&record.file)).is_ok_and(|bytes| sha256_hex(&bytes) == record.made);
    (same && is_whole()).then_some(record)
}

/// Numbers of regions by verdict.
pub fn counts(records: &[Record]) -> [(Verdict, usize); 4] {
    let all = || records.iter().flat_map(|record| &record.regions);
    [Verdict::Kept, Verdict::Lost, Verdict::Worse, Verdict::Unchecked].map(|verdict| {
        (verdict, all().filter(|region| region.verdict.as_deref() == Some(verdict.name())).count())
    })
}

/// The same in words; nothing where nothing was painted.
pub fn verdicts(records: &[Record]) -> String {
    let counts = counts(records);
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(verdict, count)| format!("{count} {}", verdict.name())).collect();
    counts.join(", ")
}

/// Writes `report.json`.
pub fn write_report(
    out: &Path,
    records: &[Record],
    skipped: &[(String, String)],
    settings: &Value,
    interrupted: bool,
) -> anyhow::Result<()> {
    let counts: serde_json::Map<String, Value> =
        counts(records).into_iter().map(|(verdict, count)| (verdict.name().into(), count.into())).collect();
    let skipped: Vec<Value> =
        skipped.iter().map(|(picture, reason)| json!({"picture": picture, "reason": reason})).collect();
    let report = json!({
        "fairhuman": env!("CARGO_PKG_VERSION"),
        "settings": settings,
        "interrupted": interrupted,
        "regions": counts,
        "pictures": records,
        "skipped": skipped,
    });
    write_atomically(&out.join("report.json"), serde_json::to_string_pretty(&report)?.as_bytes())?;
    Ok(())
}
