//! Infers the regions of a dataset from its masks, where no recipe names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::table::nearest;
use super::{detect, json, kohya, list_in};
use crate::picture_files::{entries, holds_pictures};
use crate::spec::{DatasetSpec, Layout, Region};

/// The regions of the dataset at `path`, sorted by name. Nothing is checked; at worst there are none.
pub(crate) fn regions(path: &Path, spec: &DatasetSpec) -> Vec<Region> {
    let Ok(path) = path.canonicalize() else { return Vec::new() };
    let layout = match spec.layout {
        Layout::Auto => detect::layout(&path, spec).unwrap_or(Layout::Files),
        layout => layout,
    };
    let root = if path.is_dir() { path.clone() } else { list_in(path.clone(), "").1 };
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    match layout {
        Layout::Coco => {
            found.extend(["face", "hand"].map(|n| (n.to_owned(), n.to_owned())));
        }
        Layout::Files | Layout::Kohya | Layout::Auto => {
            beside(&root, &mut found);
            if layout == Layout::Kohya {
                let sources = kohya::mask_sources(&list_in(path, "dataset.toml").0);
                found.extend(sources.into_iter().map(|source| ("mask".to_owned(), source.to_owned())));
            }
            for folder in folders(&root) {
                beside(&root.join(&folder), &mut found);
                match folder.as_str() {
                    "masks" | "mask" => {
                        let inner = folders(&root.join(&folder));
                        let names = inner.into_iter().map(|n| (n.clone(), format!("{folder}/{n}")));
                        found.extend(names);
                        if holds_pictures(&root.join(&folder)) {
                            found.insert(("mask".into(), folder));
                        }
                    }
                    name => {
                        if let Some(region) = region_of(name) {
                            found.insert((region, folder));
                        }
                    }
                }
            }
        }
        Layout::Metadata | Layout::ImageFolder => {
            let lists = ["metadata.jsonl", "metadata.csv", "train/metadata.jsonl", "train/metadata.csv"];
            let list = if path.is_file() {
                Some(path)
            } else {
                lists.iter().map(|l| root.join(l)).find(|l| l.is_file())
            };
            let text = list.and_then(|l| fairhuman_files::read(&l).ok()).unwrap_or_default();
            found.extend(columns(&text).iter().filter_map(|c| Some((region_of(c)?, c.clone()))));
        }
        Layout::Parquet => {
            #[cfg(feature = "parquet")]
            {
                let columns = super::parquet::column_names(&path, spec);
                found.extend(columns.iter().filter_map(|c| Some((region_of(c)?, c.clone()))));
            }
        }
    }
    let mut regions: Vec<Region> = Vec::new();
    for (name, mask) in found {
        // Two regions may not have one name.
        let taken = regions.iter().any(|r| r.name == name);
        regions.push(Region { name: if taken { mask.clone() } else { name }, mask });
    }
    regions
}

/// `mask_face`, `face_mask` and `mask_face_file_name` are masks of the region `face`.
fn region_of(column: &str) -> Option<String> {
    let name = column.trim_end_matches("_file_name");
    let region = name.strip_prefix("mask_").or_else(|| name.strip_suffix("_mask"));
    match (region, name) {
        (Some(region), _) if !region.is_empty() => Some(region.to_owned()),
        (_, "mask") => Some("mask".into()),
        _ => None,
    }
}

/// Masks beside pictures: OneTrainer's ending.
fn beside(folder: &Path, found: &mut BTreeSet<(String, String)>) {
    let names = entries(folder).unwrap_or_default();
    if names.iter().any(|n| n.to_string_lossy().ends_with("-masklabel.png")) {
        found.insert(("mask".into(), "-masklabel.png".into()));
    }
}

fn folders(root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let folders = entries.flatten().filter(|e| e.path().is_dir());
    folders.filter_map(|e| e.file_name().into_string().ok()).filter(|n| !n.starts_with('.')).collect()
}

/// The columns of JSON lines, or of a CSV file's header. Of lines that differ: those that half of them have,
/// and the first line's others, unless one is a misspelling of those.
fn columns(text: &[u8]) -> Vec<String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut lines = text.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty());
    let keys = |line: &[u8]| {
        let object = serde_json::from_slice::<Map<String, Value>>(&json::with_null(line)).ok()?;
        Some(object.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
    };
    let first = lines.next().unwrap_or_default();
    let Some(of_first) = keys(first) else {
        let names = String::from_utf8_lossy(first);
        return names.split(',').map(|n| n.trim().trim_matches('"').to_owned()).collect();
    };
    let (mut counts, mut all) = (BTreeMap::<String, usize>::new(), 0);
    for line in [of_first.clone()].into_iter().chain(lines.filter_map(keys)) {
        all += 1;
        line.into_iter().for_each(|name| *counts.entry(name).or_insert(0) += 1);
    }
    let common: Vec<&str> =
        counts.iter().filter(|(_, count)| 2 * **count >= all).map(|(name, _)| name.as_str()).collect();
    let is_slip = |name: &str| nearest(name, common.iter().copied(), &[]).is_some();
    let others = of_first.iter().map(String::as_str);
    let others = others.filter(|&name| !common.contains(&name) && !is_slip(name));
    common.iter().copied().chain(others).map(str::to_owned).collect()
}
