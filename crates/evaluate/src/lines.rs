//! Files of lines that are written as they are made, so that an interrupted evaluation goes on: opened for
//! more, with a last line that is not whole left behind, and replaced by what is wanted of them at the end.
//! Every line ends with a digest of itself: one that somebody altered is not taken for what was made.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use fairhuman_files::sha256_hex;

use crate::error::EvaluateError;

/// The beginning of every line.
const BEGIN: &str = "{\"folder\":";
/// The last field of every line.
const DIGEST: &str = ",\"digest\":\"";

/// A file of lines, open for more.
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
    damaged: usize,
}

impl Lines {
    /// Opens the file, and hands over the objects that its lines hold. `take` says of each whether it is one
    /// of `what`; damaged lines are left out and counted.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that holds lines and none of `what`.
    pub fn open(path: &Path, what: &str, mut take: impl FnMut(&str) -> bool) -> Result<Self, EvaluateError> {
        let (mut is_cut, mut damaged) = (false, 0);
        if path.exists() {
            let text = fairhuman_files::read(path).map_err(EvaluateError::io(path))?;
            let text = String::from_utf8_lossy(&text);
            // An empty file, and one whose only line was cut, may be an evaluation's that was begun.
            let mut is_ours = BEGIN.starts_with(text.trim());
            for line in text.lines().filter(|line| !line.is_empty()) {
                is_ours |= line.starts_with(BEGIN);
                damaged += usize::from(!opened(line).is_some_and(|object| take(&object)));
            }
            if !is_ours {
                let problem = format!("is there already, and holds no {what}: choose another --out");
                return Err(EvaluateError::Weights { path: path.into(), problem });
            }
            is_cut = !text.is_empty() && !text.ends_with('\n');
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(EvaluateError::io(path))?;
        let mut lines = Self { path: path.into(), file, damaged };
        if is_cut {
            lines.write("\n")?;
        }
        Ok(lines)
    }

    /// Lines that were there and are cut, altered, or none of what was written.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Adds objects, a line each.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, objects: impl Iterator<Item = String>) -> Result<(), EvaluateError> {
        self.write(&objects.map(|object| sealed(&object)).collect::<String>())
    }

    fn write(&mut self, text: &str) -> Result<(), EvaluateError> {
        self.file.write_all(text.as_bytes()).map_err(EvaluateError::io(&self.path))
    }

    /// Replaces the file by these objects.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn replace(self, objects: impl Iterator<Item = String>) -> Result<(), EvaluateError> {
        let text: String = objects.map(|object| sealed(&object)).collect();
        fairhuman_files::write_atomically(&self.path, text.as_bytes()).map_err(EvaluateError::io(&self.path))
    }
}

/// A JSON object as a line with its digest.
fn sealed(object: &str) -> String {
    let fields = object.strip_suffix('}').unwrap_or(object);
    format!("{fields}{DIGEST}{}\"}}\n", sha256_hex(object.as_bytes()))
}

/// The object of a line; none if it is not as it was written.
fn opened(line: &str) -> Option<String> {
    let (fields, digest) = line.rsplit_once(DIGEST)?;
    let object = format!("{fields}}}");
    (digest.strip_suffix("\"}")? == sha256_hex(object.as_bytes())).then_some(object)
}
