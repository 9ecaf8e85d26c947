//! The writing of one change: masks, captions, and the line of the list that names them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{line, place};
use crate::layout::{check_caption, first_line};
use crate::spec::DatasetSpec;

/// Most letters of a caption.
const MOST_LETTERS: usize = 20_000;

/// The files that are written for one change.
#[derive(Default)]
pub(super) struct Work {
    /// Caption files with their first lines.
    pub texts: Vec<(PathBuf, String)>,
    pub masks: Vec<(PathBuf, Vec<u8>)>,
    /// The list and line whose values change.
    pub line: Option<(PathBuf, usize)>,
    pub values: Vec<(String, Value)>,
    /// Masks of regions that the picture no longer has.
    pub gone: Vec<PathBuf>,
}

impl Work {
    /// Writes it: files before the list that names them, and what it no longer names last.
    pub fn write(&self, root: &Path) -> Result<(), String> {
        let store = |file: &Path, bytes: &[u8]| {
            place::keep(root, file)?;
            let path = place::prepare(root, file)?;
            fairhuman_files::write_atomically(&path, bytes).map_err(|e| format!("{}: {e}", file.display()))
        };
        for (file, bytes) in &self.masks {
            store(file, bytes)?;
        }
        for (file, text) in &self.texts {
            let path = place::prepare(root, file)?;
            let before = match fairhuman_files::read_to_string(&path) {
                Ok(before) => before,
                // One that is no text, or is not there, is written anew.
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => String::new(),
                Err(e) => return Err(format!("{}: {e}", file.display())),
            };
            store(file, first_line(&before, text).as_bytes())?;
        }
        if let Some((list, number)) = self.line.as_ref().filter(|_| !self.values.is_empty()) {
            let fail = |e: String| format!("{} line {number}: {e}", list.display());
            let text = fairhuman_files::read_to_string(root.join(list)).map_err(|e| fail(e.to_string()))?;
            let mut lines: Vec<&str> = text.split('\n').collect();
            let line = number
                .checked_sub(1)
                .and_then(|i| lines.get_mut(i))
                .ok_or("is gone")
                .map_err(|e| fail(e.into()))?;
            let (mark, body) = match line.strip_prefix('\u{feff}') {
                Some(body) => ("\u{feff}", body),
                None => ("", *line),
            };
            let values: Vec<_> =
                self.values.iter().map(|(key, value)| (column(body, key), value.clone())).collect();
            let changed = format!("{mark}{}", line::with_values(body, &values).map_err(fail)?);
            *line = &changed;
            store(list, lines.join("\n").as_bytes())?;
        }
        for file in &self.gone {
            place::keep(root, file)?;
            let removed = std::fs::remove_file(root.join(file));
            removed.map_err(|e| format!("{}: {e}", file.display()))?;
        }
        Ok(())
    }
}

/// The key of a column in a line: Hugging Face calls further pictures `NAME_file_name`.
fn column(line: &str, key: &str) -> String {
    let row: Option<serde_json::Map<String, Value>> = serde_json::from_str(line).ok();
    let long = format!("{key}_file_name");
    let is_long = row.is_some_and(|row| !row.contains_key(key) && row.contains_key(&long));
    if is_long { long } else { key.to_owned() }
}

/// A caption as it is stored: one line, which readers of the dataset take.
pub(super) fn checked(text: &str, spec: &DatasetSpec) -> Result<String, String> {
    let letters = text.chars().count();
    if letters > MOST_LETTERS {
        return Err(format!("has {letters} letters: expected at most {MOST_LETTERS}"));
    }
    let line: Vec<&str> =
        text.split(['\n', '\r', '\t']).map(str::trim).filter(|part| !part.is_empty()).collect();
    let line = line.join(" ");
    if let Some(c) = line.chars().find(|c| c.is_control()) {
        return Err(format!("holds the control character U+{:04X}", c as u32));
    }
    check_caption(&line, spec).map_err(|e| e.message)?;
    Ok(line)
}
