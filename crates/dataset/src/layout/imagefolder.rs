//! Hugging Face's `imagefolder`: a list with a column `file_name`, in the folder of a split or above the
//! splits.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::table::{Row, add_rows};
use super::{Listing, metadata};
use crate::diagnostic::{Diagnostic, Kind, Origin, Subject};
use crate::foreign;
use crate::paths::{inside, unreadable};
use crate::picture_files::{COMPANION_ENDINGS, DEPTH, extension, is_picture, walk};
use crate::spec::{DatasetSpec, Layout, Region};
use crate::spelling::fold;

/// Splits and the folder names that stand for them.
pub(super) const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

const LISTS: [&str; 2] = ["metadata.jsonl", "metadata.csv"];

/// The names under which a split may appear.
pub(super) fn aliases(split: &str) -> Vec<&str> {
    let known = SPLITS.iter().find(|(name, others)| *name == split || others.contains(&split));
    known.map_or_else(|| vec![split], |(_, names)| names.to_vec())
}

/// Reads the list at `path`, or the one in the folder `path`.
pub(super) fn read(path: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Diagnostic> {
    let problem = |file: &Path, text: &str| Diagnostic::new(Kind::Recipe, text).about(Subject::Dataset, file);
    let (root, list) = if path.is_file() {
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        (folder, PathBuf::from(path.file_name().unwrap_or_default()))
    } else {
        let Some(list) = find(&path, spec.split.as_deref()) else {
            let split = spec.split.as_deref().unwrap_or("train");
            let text = format!("has no metadata.jsonl or metadata.csv, nor one in a folder `{split}`");
            return Err(problem(&path, &text));
        };
        let others = LISTS.map(|name| list.with_file_name(name));
        if let Some(other) = others.iter().find(|other| **other != list && path.join(other).exists()) {
            let text = format!(
                "has {} and {}: set `path` to the one that is meant",
                list.display(),
                other.display()
            );
            return Err(problem(&path, &text));
        }
        (path, list)
    };
    let folder = list.parent().unwrap_or(Path::new("")).to_owned();
    let mut listing = Listing::new(root.clone(), Layout::ImageFolder);
    let is_csv = list.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let mut rows = if is_csv {
        csv_rows(&root.join(&list), &list, &mut listing)?
    } else {
        metadata::rows(&root.join(&list), &list, &mut listing)?
    };
    let custom = spec.image_column != "image";
    let image = if custom { spec.image_column.as_str() } else { "file_name" };
    if LISTS.iter().any(|name| list.file_name().is_some_and(|own| own == *name)) {
        note_unlisted(&mut listing, &rows, &folder);
    }
    keep_split(&mut rows, image, spec.split.as_deref(), &folder);
    add_rows(&mut listing, &list, &folder, rows, image, spec, regions);
    if listing.is_empty() {
        let text = match &spec.split {
            Some(split) => format!("lists no picture of the split {split:?} (`split`)"),
            None => "lists no picture".to_owned(),
        };
        return Err(problem(&list, &text));
    }
    Ok(listing)
}

/// The list of a split, or the one for all splits, relative to `root`.
fn find(root: &Path, split: Option<&str>) -> Option<PathBuf> {
    let in_folder = |folder: &str| {
        let lists = LISTS.iter().map(|l| Path::new(folder).join(l));
        lists.into_iter().find(|l| root.join(l).is_file())
    };
    let names = aliases(split.unwrap_or("train"));
    names.iter().find_map(|name| in_folder(name)).or_else(|| in_folder(""))
}

/// Warns of pictures that no row names, and of archives, in the folder of a list.
fn note_unlisted(listing: &mut Listing, rows: &[(Origin, Row)], folder: &Path) {
    let plain = |path: &Path| -> PathBuf {
        path.components().filter(|part| *part != std::path::Component::CurDir).collect()
    };
    let texts = rows.iter().flat_map(|(_, row)| row.0.iter()).filter_map(|(_, value)| value.as_str());
    let named: HashSet<String> = texts
        .filter(|text| extension(Path::new(text)).is_some_and(|e| is_picture(&e)))
        .map(|text| fold(plain(&folder.join(text.replace('\\', "/"))).as_os_str()))
        .collect();
    let mut files = Vec::new();
    walk(&listing.root, folder, DEPTH, &mut files);
    // A folder with a list of its own is another split.
    let others: HashSet<PathBuf> = files
        .iter()
        .filter(|file| LISTS.iter().any(|name| file.file_name().is_some_and(|own| own == *name)))
        .filter_map(|file| Some(file.parent()?.to_owned()))
        .filter(|parent| parent != folder)
        .collect();
    let is_beside = |file: &Path| {
        let stem = file.file_stem().map(fold).unwrap_or_default();
        COMPANION_ENDINGS.iter().any(|end| stem.ends_with(end))
    };
    let unlisted: Vec<&PathBuf> = files
        .iter()
        .filter(|file| extension(file).is_some_and(|e| is_picture(&e)) && !is_beside(file))
        .filter(|file| !file.ancestors().any(|above| others.contains(above)))
        .filter(|file| !named.contains(&fold(file.as_os_str())))
        .collect();
    if let Some(first) = unlisted.first() {
        let (what, are) = match unlisted.len() {
            1 => ("1 picture".to_owned(), "is"),
            n => (format!("{n} pictures"), "are"),
        };
        let text = format!(
            "{what} of its folder {are} in no line, and not used{} {}",
            if unlisted.len() == 1 { ":" } else { ", such as" },
            first.display()
        );
        listing.warn(folder, text);
    }
    for archive in files.iter().filter(|file| foreign::is_archive(file)) {
        listing.warn(archive, foreign::by_name(archive).unwrap_or_default());
        listing.used.push(archive.clone());
    }
}

/// Leaves the rows of one split, where a list above the splits names them by their folders.
fn keep_split(rows: &mut Vec<(Origin, Row)>, image: &str, split: Option<&str>, folder: &Path) {
    if !folder.as_os_str().is_empty() {
        return;
    }
    let first = |row: &Row| {
        let name = row.get(image).and_then(Value::as_str)?;
        let name = name.replace('\\', "/");
        let (folder, _) = name.trim_start_matches("./").split_once('/')?;
        Some(folder.to_owned())
    };
    let names = aliases(split.unwrap_or("train"));
    let chosen = |row: &Row| first(row).is_some_and(|f| names.contains(&f.as_str()));
    if split.is_some() || rows.iter().any(|(_, row)| chosen(row)) {
        rows.retain(|(_, row)| chosen(row));
    }
}

/// The rows of a CSV list with a header.
fn csv_rows(list: &Path, name: &Path, listing: &mut Listing) -> Result<Vec<(Origin, Row)>, Diagnostic> {
    let dataset = |error: Diagnostic| error.about(Subject::Dataset, name);
    inside(&listing.root, name).map_err(dataset)?;
    let bytes = fairhuman_files::read(list).map_err(|e| dataset(unreadable(&e)))?;
    foreign::refuse_list(&bytes).map_err(dataset)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    // Within quotes a quotation mark stands twice, so that there is an even number of them; the reader would
    // take all that follows an open one for one field.
    if bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        let text = "has an odd number of quotation marks: one is opened and never closed";
        return Err(dataset(Diagnostic::new(Kind::List, text)));
    }
    listing.used.push(name.to_owned());
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let head =
        reader.byte_headers().map_err(|e| dataset(Diagnostic::new(Kind::List, e.to_string())))?.clone();
    let head: Vec<String> = head.iter().map(|h| String::from_utf8_lossy(h).trim().to_owned()).collect();
    if let [only] = &head[..]
        && let Some(separator) = [';', '\t'].into_iter().find(|separator| only.contains(*separator))
    {
        let text = format!("separates its columns by {separator:?}: save it with commas");
        return Err(dataset(Diagnostic::new(Kind::List, text)));
    }
    if let Some(twice) = head.iter().enumerate().find(|(i, h)| head[..*i].contains(h)) {
        return Err(dataset(Diagnostic::new(Kind::List, format!("the column {:?} stands twice", twice.1))));
    }
    let mut rows = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(|e| dataset(Diagnostic::new(Kind::List, e.to_string())))?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        let origin = Origin { list: name.to_owned(), line };
        let bad = |text: &str| Diagnostic::new(Kind::List, text).about(Subject::Line, "").in_line(&origin);
        if record.len() != head.len() {
            let text = format!("has {} fields, but the head line has {}", record.len(), head.len());
            listing.diagnostics.push(bad(&text));
            continue;
        }
        let values: Result<Vec<String>, _> =
            record.iter().map(|field| std::str::from_utf8(field).map(str::to_owned)).collect();
        match values {
            Ok(values) => {
                let row = head.iter().cloned().zip(values.into_iter().map(Value::String)).collect();
                rows.push((origin, Row(row)));
            }
            Err(_) => listing.diagnostics.push(bad("is not UTF-8 text")),
        }
    }
    Ok(rows)
}
