//! Tells the layout of a dataset from what there is, and refuses to guess between two.

use std::path::Path;

use super::imagefolder::SPLITS;
use super::{json, kohya};
use crate::diagnostic::{Diagnostic, Kind};
use crate::foreign;
use crate::paths::unreadable;
use crate::picture_files::{entries, extension, holds_pictures};
use crate::spec::{DatasetSpec, Layout};

/// The layout of the file or folder at `path`, which exists.
pub(super) fn layout(path: &Path, spec: &DatasetSpec) -> Result<Layout, Diagnostic> {
    if path.is_file() {
        if foreign::is_archive(path) {
            foreign::refuse_file(path)?;
        }
        let extension = extension(path).unwrap_or_default();
        return Ok(match extension.as_str() {
            "json" => Layout::Coco,
            "parquet" => Layout::Parquet,
            "toml" => Layout::Kohya,
            "csv" => Layout::ImageFolder,
            _ if has_file_names(path, spec) => Layout::ImageFolder,
            _ => Layout::Metadata,
        });
    }
    if spec.coco.annotations.is_some() {
        return Ok(Layout::Coco);
    }
    let list = path.join("metadata.jsonl");
    if list.exists() {
        return Ok(if has_file_names(&list, spec) { Layout::ImageFolder } else { Layout::Metadata });
    }
    if path.join("metadata.csv").exists() {
        return Ok(Layout::ImageFolder);
    }
    // A folder that cannot be read is an error here, not a folder without pictures.
    entries(path)?;
    let pictures = holds_pictures(path);
    let found = [
        (Layout::ImageFolder, "imagefolder", has_split_lists(path)),
        (Layout::Parquet, "parquet", has_parquet(path) || has_parquet(&path.join("data"))),
        (Layout::Kohya, "kohya", !kohya::folders(path).map_err(|e| unreadable(&e))?.is_empty()),
        (Layout::Files, "files", pictures || !spec.folders.is_empty()),
    ];
    let mut fits = found.iter().filter(|(_, _, fits)| *fits);
    match (fits.next(), fits.next()) {
        (None, _) => Ok(Layout::Files),
        (Some((layout, ..)), None) => Ok(*layout),
        (Some((_, one, _)), Some((_, other, _))) => Err(Diagnostic::new(
            Kind::Recipe,
            format!(
                "looks like the layout `{one}` and like `{other}`: set `layout` to the one that is meant"
            ),
        )),
    }
}

fn has_parquet(folder: &Path) -> bool {
    let names = entries(folder).unwrap_or_default();
    names.iter().any(|n| extension(n).as_deref() == Some("parquet"))
}

fn has_split_lists(folder: &Path) -> bool {
    let lists = ["metadata.jsonl", "metadata.csv"];
    SPLITS.iter().flat_map(|s| s.1).any(|split| lists.iter().any(|l| folder.join(split).join(l).exists()))
}

/// True if a list of JSON lines names its pictures as Hugging Face does, and not as the recipe does.
fn has_file_names(list: &Path, spec: &DatasetSpec) -> bool {
    let text = fairhuman_files::read(list).unwrap_or_default();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let first = text.split(|&b| b == b'\n').find(|line| !line.trim_ascii().is_empty());
    let object =
        first.and_then(|line| serde_json::from_slice::<serde_json::Value>(&json::with_null(line)).ok());
    object.is_some_and(|o| o.get("file_name").is_some() && o.get(&spec.image_column).is_none())
}
