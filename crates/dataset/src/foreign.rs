//! Files that are something else than what their place in a dataset asks for, named for what they are.

use std::io::Read;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Kind};
use crate::picture_files::extension;

/// Beginnings of files, and what to say of them.
const BEGINNINGS: [(&[u8], &str); 10] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "is a pointer of Git LFS, not the file itself: run `git lfs pull` where it comes from",
    ),
    (b"PK\x03\x04", "is a zip archive: unpack it"),
    (b"\x1f\x8b", "is compressed (gzip): unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it"),
    (b"Rar!\x1a\x07", "is a RAR archive: unpack it"),
    (b"\x28\xb5\x2f\xfd", "is compressed (Zstandard): unpack it"),
    (b"ARROW1", "is an Arrow file: write it as Parquet (`datasets`: to_parquet)"),
    (b"SQLite format 3", "is a database (SQLite): write it as a list, or as Parquet"),
    (b"<!DOCTYPE html", "is a web page: the download failed, or needs a login"),
    (b"<html", "is a web page: the download failed, or needs a login"),
];
/// Bytes that [`refuse`] looks at.
pub(crate) const ENOUGH: usize = 64;
/// Extensions of archives.
const ARCHIVES: [&str; 9] = ["7z", "bz2", "gz", "rar", "tar", "tgz", "xz", "zip", "zst"];

/// # Errors
/// The name of what begins so, where it is nothing that datasets have.
pub(crate) fn refuse(beginning: &[u8]) -> Result<(), Diagnostic> {
    match BEGINNINGS.iter().find(|(bytes, _)| beginning.starts_with(bytes)) {
        Some((_, text)) => Err(Diagnostic::new(Kind::Foreign, *text)),
        None => Ok(()),
    }
}

/// The same of a list; also what is text in another encoding, as Excel and PowerShell write it.
pub(crate) fn refuse_list(bytes: &[u8]) -> Result<(), Diagnostic> {
    refuse(bytes)?;
    match bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        true => Err(Diagnostic::new(Kind::List, "is UTF-16 text: save it as UTF-8")),
        false => Ok(()),
    }
}

/// The same of the file at `path`; a file that cannot be read is told elsewhere.
pub(crate) fn refuse_file(path: &Path) -> Result<(), Diagnostic> {
    let mut beginning = Vec::new();
    if let Ok(file) = fairhuman_files::open(path) {
        let _ = file.take(ENOUGH as u64).read_to_end(&mut beginning);
    }
    refuse(&beginning)
}

/// True if a file is an archive by its name.
pub(crate) fn is_archive(name: &Path) -> bool {
    extension(name).is_some_and(|e| ARCHIVES.contains(&e.as_str()))
}

/// Names a file by its name, if it is one that people expect to be read: an archive, or a list under a name
/// of its own.
pub(crate) fn by_name(name: &Path) -> Option<String> {
    let extension = extension(name)?;
    let text = match extension.as_str() {
        e if ARCHIVES.contains(&e) => "is an archive, which is not read: unpack it",
        "arrow" => "is an Arrow file, which is not read: write it as Parquet (`datasets`: to_parquet)",
        _ => return list_by_name(name),
    };
    Some(text.to_owned())
}

/// Names a list that is not called `metadata.jsonl` or `metadata.csv`.
pub(crate) fn list_by_name(name: &Path) -> Option<String> {
    let text = match extension(name)?.as_str() {
        // Who asks for another layout knows.
        _ if ["metadata.jsonl", "metadata.csv"].map(Path::new).contains(&name) => return None,
        "jsonl" | "csv" => {
            "is a list, but is not read under this name: set `path` to it, or call it metadata.jsonl or metadata.csv"
        }
        "json" => {
            "is not read: a list has one JSON object per line and is called metadata.jsonl; for COCO's annotations \
             set `path` to the file"
        }
        _ => return None,
    };
    Some(text.to_owned())
}
