//! A command replaces files of its own making only: what it made can be made again, what somebody else made
//! may be all that there is.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The word by which files of this program are known: the generator of its pages, the keyword of a text in
/// its pictures, a key in the header of its tensors.
pub const MARK: &str = "fairhuman";

/// Bytes of a file in which the mark is looked for.
const HEAD: u64 = 1 << 16;

/// Kinds of files that are written again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A web page.
    Page,
    /// A PNG picture.
    Picture,
    /// A safetensors file.
    Tensors,
    /// A report in JSON.
    Report,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Picture => "picture",
            Self::Tensors => "file of tensors",
            Self::Report => "report",
        }
    }

    /// True if a file that begins like this is of this kind and of our making.
    fn is_ours(self, head: &[u8]) -> bool {
        let has = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
        match self {
            Self::Page => {
                let begins =
                    head.get(..14).is_some_and(|start| start.eq_ignore_ascii_case(b"<!doctype html"));
                begins && has(format!("content=\"{MARK} ").as_bytes())
            }
            Self::Picture => {
                let text = |chunk: &str| has(format!("{chunk}{MARK}\0").as_bytes());
                head.starts_with(b"\x89PNG") && (text("tEXt") || text("iTXt"))
            }
            Self::Tensors | Self::Report => has(format!("\"{MARK}\":").as_bytes()),
        }
    }
}

/// A file that would be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The file.
    pub path: PathBuf,
    /// The kind of file that would take its place.
    pub kind: Kind,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is there already, and is no {} that {MARK} made: it would be lost; choose another place, or move it \
             away",
            self.path.display(),
            self.kind.name()
        )
    }
}

impl std::error::Error for Foreign {}

/// Fails where something is at `path` that is not a file of this kind and of our making.
///
/// # Errors
/// See above; also a file that cannot be read, because nobody knows what it is.
pub fn ensure_ours(path: &Path, kind: Kind) -> Result<(), Foreign> {
    let foreign = || Foreign { path: path.to_owned(), kind };
    let mut head = Vec::new();
    match crate::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            return Ok(());
        }
        opened => opened.and_then(|file| file.take(HEAD).read_to_end(&mut head)).map_err(|_| foreign())?,
    };
    if kind.is_ours(&head) { Ok(()) } else { Err(foreign()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_and_of_other_kinds_are_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let is_ours = |bytes: &[u8], kind| {
            std::fs::write(&path, bytes).unwrap();
            ensure_ours(&path, kind).is_ok()
        };
        let page = b"<!DOCTYPE html><meta name=\"generator\" content=\"fairhuman 0.1.0\">";
        assert!(is_ours(page, Kind::Page));
        assert!(!is_ours(page, Kind::Picture));
        assert!(!is_ours(b"<!DOCTYPE html><p>about fairhuman</p>", Kind::Page));
        assert!(!is_ours(b"", Kind::Page));
        let picture = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR tEXtfairhuman\0{}";
        assert!(is_ours(picture, Kind::Picture));
        assert!(!is_ours(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR tEXtComment\0fairhuman", Kind::Picture));
        assert!(is_ours(b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{\"fairhuman\":\"0.1.0\"}}", Kind::Tensors));
        assert!(!is_ours(b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"}}", Kind::Tensors));
        assert_eq!(ensure_ours(&folder.path().join("none"), Kind::Page), Ok(()));
        assert!(ensure_ours(folder.path(), Kind::Page).is_err(), "a folder");
    }
}
