//! Captions: how they are read from a file, and what is none.

use std::path::Path;

use super::Listing;
use crate::paths::{resolve, unreadable};
use crate::problem::Fault;
use crate::spec::DatasetSpec;

/// A caption that stands in a file of its own.
pub(super) struct Written {
    pub text: String,
    /// Whether the file has further lines, which are left out.
    pub more: bool,
}

/// Reads the file called `name` in the dataset's folder `root`. The first line that is not empty counts, as in
/// sd-scripts: some write one caption per line to choose from.
pub(super) fn read(root: &Path, name: &Path, spec: &DatasetSpec) -> Result<Written, Fault> {
    let bytes = std::fs::read(resolve(root, name)?).map_err(|e| unreadable(&e))?;
    let mut lines = utf8(&bytes)?.lines().filter(|line| !line.trim().is_empty());
    let text = check(lines.next().unwrap_or_default(), spec)?;
    Ok(Written { text, more: lines.next().is_some() })
}

/// Bytes as text, without a byte-order mark.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| Fault::Encoding(e.valid_up_to() + 1))
}

/// Checks and trims a caption.
pub(super) fn check(text: &str, spec: &DatasetSpec) -> Result<String, Fault> {
    let text = text.trim();
    if !text.is_empty() || spec.allow_empty_captions {
        return Ok(text.to_owned());
    }
    match &spec.default_caption {
        Some(text) => Ok(text.trim().to_owned()),
        None => Err(Fault::Caption(
            "is empty: say what the picture shows, or set `default_caption` or `allow_empty_captions = true`"
                .into(),
        )),
    }
}

/// Notes how many caption files of a folder had more than the line that counts.
pub(super) fn note_lines(listing: &mut Listing, folder: &Path, files: usize) {
    if files > 0 {
        let noun = if files == 1 { "caption file has" } else { "caption files have" };
        listing.doubt(folder, format!("{files} {noun} several lines: the first one is the caption"));
    }
}
