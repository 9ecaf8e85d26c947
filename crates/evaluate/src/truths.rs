//! Findings of the detectors in reference pictures, a line of JSON for each picture, so that they look at
//! each once: they are taken for the same bytes and the same networks.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use fairhuman_files::sha256_hex;
use serde::{Deserialize, Serialize};

use crate::error::EvaluateError;
use crate::lines::Lines;
use crate::truth::Truth;

/// A line of the file.
#[derive(Clone, Serialize, Deserialize)]
struct Line {
    /// The folder as it was named.
    folder: String,
    /// The picture's name in it.
    picture: String,
    /// SHA-256 of the picture's file.
    input: String,
    /// The networks and conventions.
    by: String,
    /// Faces and hands that were found.
    truth: Truth,
}

/// The file of the findings, open for more.
pub struct KeptTruths {
    lines: Lines,
    known: HashMap<(String, String), Line>,
    used: BTreeSet<(String, String)>,
}

impl KeptTruths {
    /// Reads what is there; lines that are damaged are left out and counted.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that is none of findings.
    pub fn open(path: &Path) -> Result<Self, EvaluateError> {
        let mut known = HashMap::new();
        let lines = Lines::open(path, "findings in reference pictures", |text| {
            let Ok(line) = serde_json::from_str::<Line>(text) else { return false };
            known.insert((line.input.clone(), line.by.clone()), line);
            true
        })?;
        Ok(Self { lines, known, used: BTreeSet::new() })
    }

    /// Lines that were there and are cut or altered: what they held is made again.
    pub fn damaged(&self) -> usize {
        self.lines.damaged()
    }

    /// The findings of the networks `by` in the picture of a folder (path and name) with these bytes: those
    /// that are known, or new ones by a look, which are added to the file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn get(
        &mut self,
        (folder, picture): (&Path, &str),
        bytes: &[u8],
        by: &str,
        look: impl FnOnce() -> Truth,
    ) -> Result<Truth, EvaluateError> {
        let key = (sha256_hex(bytes), by.to_owned());
        self.used.insert(key.clone());
        if let Some(line) = self.known.get(&key) {
            return Ok(line.truth.clone());
        }
        let (folder, picture) = (folder.display().to_string(), picture.to_owned());
        let (input, by) = key.clone();
        let line = Line { folder, picture, input, by, truth: look() };
        self.lines.add(std::iter::once(object(&line)))?;
        Ok(self.known.entry(key).or_insert(line).truth.clone())
    }

    /// Replaces the file by one of those that were asked for alone.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self) -> Result<(), EvaluateError> {
        let Self { lines, known, used } = self;
        let mut used: Vec<&Line> = used.iter().filter_map(|key| known.get(key)).collect();
        used.sort_by(|a, b| (&a.folder, &a.picture).cmp(&(&b.folder, &b.picture)));
        lines.replace(used.into_iter().map(object))
    }
}

fn object(line: &Line) -> String {
    // Plain data in a struct always has a form as JSON.
    serde_json::to_string(line).unwrap_or_default()
}
