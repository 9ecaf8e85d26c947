//! The features of an evaluation's pictures, a line of JSON for each picture and network, so that they are
//! made once: they are taken for the same picture, cut by the same rule, of the same weights.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::regions::REGIONS;
use crate::error::EvaluateError;
use crate::lines::Lines;

/// The name of the whole picture among the rows.
pub(super) const WHOLE: &str = "whole";

/// Rows of features with the names of what they are of.
type Rows = Vec<(&'static str, Vec<f32>)>;
/// Input and network.
type Key = (String, String);

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    /// The folder as it was named.
    folder: String,
    /// The picture's name in it.
    picture: String,
    /// SHA-256 of the picture and of the rule by which regions are cut out of it.
    input: String,
    /// The network's weights and conventions.
    by: String,
    /// The part that each row is of: the whole picture, a face, a hand.
    rows: Vec<String>,
    /// The rows' numbers: f32, little-endian, in base64.
    values: String,
}

impl Line {
    fn of((input, by): &Key, [folder, picture]: &[String; 2], rows: &Rows) -> Self {
        let bytes: Vec<u8> = rows.iter().flat_map(|(_, row)| row).flat_map(|v| v.to_le_bytes()).collect();
        Self {
            folder: folder.clone(),
            picture: picture.clone(),
            input: input.clone(),
            by: by.clone(),
            rows: rows.iter().map(|(name, _)| (*name).to_owned()).collect(),
            values: STANDARD.encode(bytes),
        }
    }

    /// The rows; none if the line is damaged.
    fn read(&self) -> Option<Rows> {
        if self.rows.is_empty() {
            return None;
        }
        let bytes = STANDARD.decode(&self.values).ok()?;
        let (length, rest) = (bytes.len() / self.rows.len(), bytes.len() % self.rows.len());
        if length == 0 || length % 4 > 0 || rest > 0 {
            return None;
        }
        let known = |name: &String| [WHOLE].into_iter().chain(REGIONS).find(|known| known == name);
        let names = self.rows.iter().map(known).collect::<Option<Vec<_>>>()?;
        let row = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect();
        Some(names.into_iter().zip(bytes.chunks_exact(length).map(row)).collect())
    }
}

/// The file of the features, open for more.
pub struct KeptFeatures {
    lines: Lines,
    known: HashMap<Key, Rows>,
    used: Vec<(Key, [String; 2])>,
    seen: HashSet<Key>,
}

impl KeptFeatures {
    /// Reads what is there; lines that are damaged are left out and counted.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that is none of features.
    pub fn open(path: &Path) -> Result<Self, EvaluateError> {
        let mut known = HashMap::new();
        let lines = Lines::open(path, "features", |text| {
            let Ok(line) = serde_json::from_str::<Line>(text) else { return false };
            let rows = line.read();
            rows.map(|rows| known.insert((line.input, line.by), rows)).is_some()
        })?;
        Ok(Self { lines, known, used: Vec::new(), seen: HashSet::new() })
    }

    /// Lines that were there and are cut or altered: what they held is made again.
    pub fn damaged(&self) -> usize {
        self.lines.damaged()
    }

    /// True if the features of this input by this network are known.
    pub(super) fn has(&self, input: &str, by: &str) -> bool {
        self.known.contains_key(&(input.to_owned(), by.to_owned()))
    }

    /// The rows of an input by a network: the known ones, else those that were `made`, which are added to
    /// the file. `about` are folder and picture.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn rows(
        &mut self,
        (input, by): (String, &str),
        about: [String; 2],
        made: Rows,
    ) -> Result<&Rows, EvaluateError> {
        let key = (input, by.to_owned());
        if !self.known.contains_key(&key) {
            self.lines.add(std::iter::once(object(&key, &about, &made)))?;
        }
        if self.seen.insert(key.clone()) {
            self.used.push((key.clone(), about));
        }
        Ok(self.known.entry(key).or_insert(made))
    }

    /// Replaces the file by one of the features that were asked for alone, in their order.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self) -> Result<(), EvaluateError> {
        let Self { lines, known, used, .. } = self;
        let line = |(key, about): &(Key, [String; 2])| known.get(key).map(|rows| object(key, about, rows));
        lines.replace(used.iter().filter_map(line))
    }
}

fn object(key: &Key, about: &[String; 2], rows: &Rows) -> String {
    // Plain data in a struct always has a form as JSON.
    serde_json::to_string(&Line::of(key, about, rows)).unwrap_or_default()
}
