//! Words for the terminal: regions before they are painted, and the result.

use fairhuman_refine::Verdict;

use super::record::{Record, counts};
use crate::units;

/// A plan in lines, as `--dry-run` prints it.
pub fn described(record: &Record) -> String {
    let mut text = format!("{} ({}x{}): {}", record.picture, record.width, record.height, record.mode);
    if record.regions.is_empty() {
        text += ", no region";
    }
    for (i, region) in record.regions.iter().enumerate() {
        let [x0, y0, x1, y1] = region.bounds;
        let score = region.before.map_or(String::new(), |score| format!(", score {score:.2}"));
        let control = if region.control { ", with control" } else { "" };
        text += &format!(
            "\n  {} {} at {x0:.0},{y0:.0} {:.0}x{:.0}{score}, {:.1} times enlarged{control}: {}",
            i + 1,
            region.kind,
            x1 - x0,
            y1 - y0,
            region.enlarged,
            region.prompt
        );
    }
    text
}

/// The last lines: numbers of pictures and regions, and of pictures that were `worked` on now.
pub fn summary(records: &[Record], skipped: usize, worked: usize, seconds: f64) -> String {
    let regions: usize = records.iter().map(|record| record.regions.len()).sum();
    let (pictures, regions) =
        (units::count(records.len() as u64, "picture"), units::count(regions as u64, "region"));
    let counts = counts(records);
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> =
        counts.map(|(verdict, count)| format!("{count} {}", became(*verdict))).collect();
    let verdicts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join("; ")) };
    format!(
        "{pictures}, {regions}{verdicts}; {skipped} skipped\n{worked} done now, {} kept from before; {}",
        records.len() - worked,
        units::duration(seconds)
    )
}

/// A verdict in words that need no explanation.
fn became(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Kept => "refined",
        Verdict::Lost => "left as before: not found again",
        Verdict::Worse => "left as before: scored lower",
        Verdict::Unchecked => "refined, not checked",
    }
}
