//! Files of lines that are written as they are made, so that an interrupted evaluation goes on: opened for
//! more, with a last line that is not whole left behind, and replaced by what is wanted of them at the end.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::EvaluateError;

/// The beginning of every line.
const BEGIN: &str = "{\"folder\":";

/// A file of lines, open for more.
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens the file, and hands over the lines that are there. `take` says of each whether it is one of
    /// `what`; lines that are not (of a process that was killed) are left out.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that holds lines and none of `what`.
    pub fn open(path: &Path, what: &str, mut take: impl FnMut(&str) -> bool) -> Result<Self, EvaluateError> {
        let mut is_cut = false;
        if path.exists() {
            let text = fairhuman_files::read(path).map_err(EvaluateError::io(path))?;
            let text = String::from_utf8_lossy(&text);
            let taken = text.lines().filter(|line| take(line)).count();
            // The very first line may be the one that was cut.
            let is_begun = !text.contains('\n') && (text.starts_with(BEGIN) || BEGIN.starts_with(&*text));
            if taken == 0 && !is_begun && !text.trim().is_empty() {
                let problem = format!("is there already, and holds no {what}: choose another --out");
                return Err(EvaluateError::Weights { path: path.into(), problem });
            }
            is_cut = !text.is_empty() && !text.ends_with('\n');
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(EvaluateError::io(path))?;
        let mut lines = Self { path: path.into(), file };
        if is_cut {
            lines.add("\n")?;
        }
        Ok(lines)
    }

    /// Adds whole lines.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, text: &str) -> Result<(), EvaluateError> {
        self.file.write_all(text.as_bytes()).map_err(EvaluateError::io(&self.path))
    }

    /// Replaces the file by these lines.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn replace(self, text: &str) -> Result<(), EvaluateError> {
        fairhuman_files::write_atomically(&self.path, text.as_bytes()).map_err(EvaluateError::io(&self.path))
    }
}
