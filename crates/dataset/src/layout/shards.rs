//! Tables in parts, `train-00000-of-00002.parquet`: parts that are not there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Missing parts that are named; the rest is counted.
const NAMED: usize = 3;

/// Each table in parts of which some are not among `tables`: its first part that is there, and a message.
pub(super) fn incomplete(tables: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let mut parts: BTreeMap<(PathBuf, String, u64), BTreeMap<u64, &Path>> = BTreeMap::new();
    for table in tables {
        if let Some((prefix, number, total)) = part_of(table) {
            let folder = table.parent().unwrap_or(Path::new("")).to_owned();
            parts.entry((folder, prefix, total)).or_default().entry(number).or_insert(table);
        }
    }
    let missing = |((_, prefix, total), there): ((PathBuf, String, u64), BTreeMap<u64, &Path>)| {
        let numbers: BTreeSet<u64> = there.keys().copied().filter(|number| *number < total).collect();
        let count = total - numbers.len() as u64;
        let first = there.values().next().filter(|_| count > 0)?.to_path_buf();
        let name = |number: u64| format!("{prefix}-{number:05}-of-{total:05}.parquet");
        let named: Vec<String> =
            (0..total).filter(|number| !numbers.contains(number)).take(NAMED).map(name).collect();
        let more = match count - named.len() as u64 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!(
            "is one of {total} parts of a table, and only {} of them are read: missing {}{more}",
            numbers.len(),
            named.join(", ")
        );
        Some((first, text))
    };
    parts.into_iter().filter_map(missing).collect()
}

/// The prefix, the number and the total of a name such as `train-00000-of-00002-0123456789abcdef`.
fn part_of(table: &Path) -> Option<(String, u64, u64)> {
    let stem = table.file_stem()?.to_str()?;
    let (left, right) = stem.rsplit_once("-of-")?;
    let (prefix, number) = left.rsplit_once('-')?;
    let total = right.split('-').next()?;
    Some((prefix.to_owned(), number.parse().ok()?, total.parse().ok()?))
}
