//! The scores of an evaluation, a line of JSON each, with its digest. They are written as they are made, so
//! that an interrupted evaluation goes on: a score whose picture, prompt and judge are the same is not made
//! again.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::EvaluateError;
use crate::lines::Lines;

/// One score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The folder as it was named.
    pub folder: String,
    /// The picture's name in it.
    pub picture: String,
    /// Its prompt.
    pub prompt: Option<String>,
    /// The metric, which begins with the judge's name.
    pub judge: String,
    /// The score; none where the picture has none.
    pub score: Option<f64>,
    /// SHA-256 of the picture, its prompt, and what is expected of it.
    pub input: String,
    /// The judge's weights and conventions.
    pub by: String,
}

/// The file of the scores, open for more.
pub struct Scores {
    lines: Lines,
    known: HashMap<(String, String, String), Option<f64>>,
}

impl Scores {
    /// Reads what is there; lines that are not as they were written are left out and counted.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, EvaluateError> {
        let mut known = HashMap::new();
        let lines = Lines::open(path, "scores", |line| match serde_json::from_str::<Score>(line) {
            Ok(score) => {
                known.insert((score.input, score.by, score.judge), exact(line));
                true
            }
            Err(_) => false,
        })?;
        Ok(Self { lines, known })
    }

    /// Lines that were there and are cut or altered: what they held is made again.
    pub fn damaged(&self) -> usize {
        self.lines.damaged()
    }

    /// The score of this input by this judge, if it is known: none, or one that may be none.
    pub fn get(&self, input: &str, by: &str, judge: &str) -> Option<Option<f64>> {
        self.known.get(&(input.to_owned(), by.to_owned(), judge.to_owned())).copied()
    }

    /// Adds scores to the file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, scores: &[Score]) -> Result<(), EvaluateError> {
        for score in scores {
            self.known.insert((score.input.clone(), score.by.clone(), score.judge.clone()), score.score);
        }
        self.lines.add(scores.iter().map(object))
    }

    /// Replaces the file by one of these scores alone, in their order.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self, scores: &[Score]) -> Result<(), EvaluateError> {
        self.lines.replace(scores.iter().map(object))
    }
}

/// The score of a line to the last bit, which serde_json may miss: scores that are read and written
/// again stay as they are.
fn exact(line: &str) -> Option<f64> {
    let (_, rest) = line.rsplit_once("\"score\":")?;
    rest.split([',', '}']).next()?.trim().parse().ok()
}

fn object(score: &Score) -> String {
    // Plain data in a struct always has a form as JSON.
    serde_json::to_string(score).unwrap_or_default()
}
