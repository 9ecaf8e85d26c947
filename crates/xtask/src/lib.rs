//! The development commands that tests run, too.

use std::path::{Path, PathBuf};

pub mod judge;
pub mod tidy;

/// The root of the repository that this crate is part of.
///
/// # Errors
/// A repository that was moved after this program was built.
pub fn root() -> std::io::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()
}
