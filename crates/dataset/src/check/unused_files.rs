//! Files in the dataset's folder that belong to nothing: forgotten captions, masks of deleted pictures.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Kind, Subject};
use crate::picture_files::{COMPANION_ENDINGS, DEPTH, extension, is_picture, walk};
use crate::spec::{DatasetSpec, Layout, Region};

/// Files that go with datasets: lists, notes, what other programs leave.
const COMPANIONS: [&str; 12] =
    ["csv", "html", "ini", "json", "jsonl", "log", "md", "npz", "parquet", "safetensors", "toml", "yaml"];
/// Beginnings of names of files that go with datasets.
const COMPANION_NAMES: [&str; 5] = ["contact-sheet", "control-sheet", "licence", "license", "readme"];
/// Up to this many unused files of a folder are reported one by one; more are reported together.
const ONE_BY_ONE: usize = 3;

/// The dataset's files, as far as they are known.
pub(super) struct Known<'a> {
    pub root: &'a Path,
    pub layout: Layout,
    /// Files that belong to something, relative to the root.
    pub used: &'a HashSet<PathBuf>,
    /// The pictures among them.
    pub pictures: &'a HashSet<PathBuf>,
    /// The masks among them.
    pub masks: &'a HashSet<PathBuf>,
    /// True if some region has no mask at all: a file that looks like one is then worth a warning.
    pub without_masks: bool,
}

/// Warnings about files that nothing uses.
pub(super) fn find(known: &Known, spec: &DatasetSpec, regions: &[Region]) -> Vec<Diagnostic> {
    // A list in a file, a split, or annotations often name a part of a larger folder on purpose.
    let partial = spec.path.is_file()
        || spec.split.is_some()
        || matches!(known.layout, Layout::Coco | Layout::Parquet | Layout::ImageFolder);
    let mut files = Vec::new();
    match &spec.folders[..] {
        _ if partial => {
            let folders: HashSet<&Path> = known.used.iter().filter_map(|f| f.parent()).collect();
            folders.into_iter().for_each(|f| walk(known.root, f, 0, &mut files));
        }
        [] => walk(known.root, Path::new(""), DEPTH, &mut files),
        folders => folders.iter().for_each(|f| walk(known.root, &f.path, DEPTH, &mut files)),
    }
    let parents = |files: &'_ HashSet<PathBuf>| -> HashSet<PathBuf> {
        files.iter().filter_map(|f| f.parent().map(Path::to_owned)).collect()
    };
    let (used_folders, pictures) = (parents(known.used), parents(known.pictures));
    let mask_folders: HashSet<PathBuf> = parents(known.masks).difference(&pictures).cloned().collect();
    let names_files = matches!(known.layout, Layout::Files | Layout::Kohya);
    let mut by_folder: BTreeMap<(PathBuf, Kind, String), Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let file = file.strip_prefix(".").map(Path::to_owned).unwrap_or(file);
        if known.used.contains(&file) {
            continue;
        }
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let extension = extension(&file).unwrap_or_default();
        let caption = spec.caption_extension.trim_start_matches('.');
        let (kind, text) = match () {
            () if is_companion(&file, &extension) => continue,
            () if is_picture(&extension) && is_mask(&file, &folder, &mask_folders, regions) => {
                (Kind::UnusedMask, "is a mask, but there is no picture of this name")
            }
            () if is_picture(&extension) && is_beside(&file) && !known.without_masks => continue,
            () if is_picture(&extension) && is_beside(&file) => {
                (Kind::UnusedMask, "is called like a mask, but no region's `mask` is the end of its name")
            }
            () if partial => continue,
            () if is_picture(&extension) && names_files => {
                (Kind::UnusedFile, "is a picture that is not read: it lies in a folder that nothing names")
            }
            () if is_picture(&extension) => (Kind::UnusedFile, "is a picture that no line of the list names"),
            () if names_files && extension == caption => {
                (Kind::UnusedFile, "is a caption, but there is no picture of this name")
            }
            () => (Kind::UnusedFile, "belongs to nothing in this dataset"),
        };
        let together = is_beside(&file) || !used_folders.contains(&folder);
        let group = if together { folder } else { file.clone() };
        by_folder.entry((group, kind, text.to_owned())).or_default().push(file);
    }
    let mut unused = Vec::new();
    for ((group, kind, text), files) in by_folder {
        if files.len() > ONE_BY_ONE {
            let text = format!("holds {} files that nothing uses; each {text}", files.len());
            unused.push(Diagnostic::new(kind, text).about(Subject::Dataset, group));
        } else {
            let one = |file| Diagnostic::new(kind, text.as_str()).about(Subject::Dataset, file);
            unused.extend(files.into_iter().map(one));
        }
    }
    unused
}

fn is_companion(file: &Path, extension: &str) -> bool {
    let name = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_ascii_lowercase();
    COMPANIONS.contains(&extension) || COMPANION_NAMES.iter().any(|n| name.starts_with(n))
}

fn is_beside(file: &Path) -> bool {
    let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    COMPANION_ENDINGS.iter().any(|end| stem.ends_with(end))
}

/// True if a picture lies where masks lie, or is called like one that a region asks for.
fn is_mask(file: &Path, folder: &Path, mask_folders: &HashSet<PathBuf>, regions: &[Region]) -> bool {
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    mask_folders.contains(folder) || regions.iter().any(|r| r.mask.contains('.') && name.ends_with(&r.mask))
}
