//! Recognises masks that a person painted, added or deleted, and captions that a person changed in the
//! dataset's list, so that they are never overwritten.
//!
//! A photograph's annotation stores the hash of each mask that the program wrote, and the caption. A mask
//! with any other content was edited, and so was another caption in the list.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::FilesError;
use fairhuman_files::sha256_hex;

/// States of a mask that the program itself may have left: the SHA-256 of its file, `None` for no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GeneratedMask(Vec<Option<String>>);

impl Default for GeneratedMask {
    /// Before the first run: no file.
    fn default() -> Self {
        Self(vec![None])
    }
}

impl GeneratedMask {
    /// The state after writing a mask, or none.
    pub fn of(mask: Option<&[u8]>) -> Self {
        Self(vec![mask.map(sha256_hex)])
    }

    /// This state or `after`: an interrupted write may leave either.
    pub fn or(&self, after: &Self) -> Self {
        Self([&self.0[..], &after.0[..]].concat())
    }

    /// True if the mask file was changed by anyone else.
    pub fn is_edited(&self, mask: &Path) -> Result<bool, FilesError> {
        let state = match fairhuman_files::read(mask) {
            Ok(bytes) => Some(sha256_hex(&bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(FilesError::new(mask, e)),
        };
        Ok(!self.0.contains(&state))
    }
}

/// Captions that the program itself may have left in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GeneratedCaption(Vec<String>);

impl GeneratedCaption {
    /// The caption in the list where a person changed it there, and the program's `made` is to give way. One
    /// that is `written` beside the photograph gives way unless it is newer. Remembers `made`.
    pub fn settle(&mut self, listed: Option<&str>, made: &str, written: bool) -> Option<String> {
        let is_known = |text: &str| self.0.iter().any(|known| known == text);
        let is_newer = written && !is_known(made);
        let edited = listed.filter(|text| !self.0.is_empty() && !is_known(text) && *text != made);
        // Of an unchanged caption the list has one state now, and another when it is written.
        if edited.is_none() {
            self.0.retain(|known| Some(known.as_str()) == listed);
        }
        if !self.0.iter().any(|known| known == made) {
            self.0.push(made.to_owned());
        }
        edited.filter(|_| !is_newer).map(str::to_owned)
    }
}

/// The captions of a list that an earlier run wrote, by the path of the picture. What is no such line has
/// none.
pub fn listed_captions(list: &Path) -> HashMap<String, String> {
    let text = fairhuman_files::read_to_string(list).unwrap_or_default();
    let caption = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let of = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        Some((of("image")?, of("text")?))
    };
    text.lines().filter_map(caption).collect()
}

#[cfg(test)]
mod tests {
    use super::GeneratedCaption;

    #[test]
    fn captions_changed_in_the_list_stay_until_one_is_written_beside_the_photograph() {
        let mut caption = GeneratedCaption::default();
        assert_eq!(caption.settle(None, "a photo of nobody", false), None, "a first run");
        assert_eq!(caption.settle(Some("a photo of nobody"), "nobody here", false), None, "another template");
        // Interrupted before the list was written, or not.
        assert_eq!(caption.clone().settle(Some("a photo of nobody"), "nobody here", false), None);
        assert_eq!(caption.settle(Some("nobody here"), "nobody here", false), None);
        let edited = Some("a lighthouse".to_owned());
        for made in ["nobody here", "nobody at all", "nobody here"] {
            assert_eq!(caption.settle(Some("a lighthouse"), made, false), edited, "{made}");
        }
        assert_eq!(caption.settle(Some("a lighthouse"), "a tower", true), None, "a newer one beside it");
        assert_eq!(caption.settle(Some("a tower"), "a tower", true), None);
        assert_eq!(caption.settle(Some("a lighthouse"), "a tower", true), edited, "an older one beside it");
        assert_eq!(caption.settle(Some("a tower"), "a tower", true), None, "put back");
    }
}
