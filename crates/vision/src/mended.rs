//! Masks that a person mended - painted, added or deleted - stay as they are, whatever the detectors find later.
//!
//! A photograph's annotation remembers how the program itself left each mask. A mask in any other state is a person's.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::FilesError;
use crate::models::sum;

/// States of a mask that are the program's own work: the SHA-256 of its file, `None` for no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Own(Vec<Option<String>>);

impl Default for Own {
    /// Before the first look: no file.
    fn default() -> Self {
        Self(vec![None])
    }
}

impl Own {
    /// A mask just drawn, or none.
    pub fn of(mask: Option<&[u8]>) -> Self {
        Self(vec![mask.map(sum)])
    }

    /// The state before or after a change, whichever an interruption leaves.
    pub fn or(&self, after: &Self) -> Self {
        Self([&self.0[..], &after.0[..]].concat())
    }

    /// Whether the mask on the disk is a person's.
    pub fn is_mended(&self, mask: &Path) -> Result<bool, FilesError> {
        let state = match std::fs::read(mask) {
            Ok(bytes) => Some(sum(&bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(FilesError::new(mask, e)),
        };
        Ok(!self.0.contains(&state))
    }
}
