//! Recognises masks that a person painted, added or deleted, so that they are never overwritten.
//!
//! A photograph's annotation stores the hash of each mask that the program wrote. A mask with any other
//! content was edited.

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
