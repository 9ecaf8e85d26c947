//! Tells the pictures of a folder by their extensions, and masks that lie beside them by the ends of their
//! names.

use std::path::{Path, PathBuf};

pub(crate) use fairhuman_pictures::names::{
    COMPANION_ENDINGS, OTHERS as OTHER_PICTURES, READ as PICTURES, extension,
};

use crate::diagnostic::Diagnostic;
use crate::paths::unreadable;

/// Folders of small versions and of what archives and network drives leave.
const SIDE_FOLDERS: [&str; 3] = ["@eadir", "__macosx", "thumbnails"];
/// Folders are searched to this depth.
pub(crate) const DEPTH: usize = 8;

/// The names of the files in a folder, sorted, without dot files.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let io = |e: std::io::Error| unreadable(&e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(b".") && !entry.path().is_dir() {
            names.push(PathBuf::from(name));
        }
    }
    names.sort();
    Ok(names)
}

/// True if files with this extension are read as pictures.
pub(crate) fn is_picture(extension: &str) -> bool {
    PICTURES.contains(&extension)
}

/// True if a folder has pictures in it, directly; false if it cannot be read.
pub(crate) fn holds_pictures(folder: &Path) -> bool {
    let names = entries(folder).unwrap_or_default();
    names.iter().any(|n| extension(n).is_some_and(|e| is_picture(&e)))
}

/// The files of a folder, relative to `root`, without dot files. Symbolic links to folders are not followed.
pub(crate) fn walk(root: &Path, folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = folder.join(entry.file_name());
        let name = entry.file_name().to_ascii_lowercase();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && SIDE_FOLDERS.iter().any(|side| name == *side) => {}
            Ok(kind) if kind.is_dir() && depth > 0 => walk(root, &path, depth - 1, files),
            Ok(kind) if kind.is_dir() => {}
            Ok(_) => files.push(path),
            Err(_) => {}
        }
    }
}
