//! The layout `metadata`: one JSON object per line names a picture, its caption, its masks.
//!
//! A byte-order mark, Windows line ends and blank lines are accepted, since editors leave them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::table::{Row, add_rows};
use super::{Listing, json};
use crate::diagnostic::{Diagnostic, Kind, Origin, Subject};
use crate::paths::{inside, unreadable};
use crate::spec::{DatasetSpec, Layout, Region};

/// Reads the list at `list`, whose paths are relative to `root`.
pub(super) fn read(
    list: &Path,
    root: PathBuf,
    spec: &DatasetSpec,
    regions: &[Region],
) -> Result<Listing, Diagnostic> {
    let mut listing = Listing::new(root, Layout::Metadata);
    let name = PathBuf::from(list.file_name().unwrap_or(list.as_os_str()));
    let rows = rows(list, &name, &mut listing)?;
    add_rows(&mut listing, &name, Path::new(""), rows, &spec.image_column, spec, regions);
    if listing.is_empty() {
        return Err(Diagnostic::new(Kind::Recipe, "lists no picture").about(Subject::Dataset, name));
    }
    Ok(listing)
}

/// The lines of the list at `list`, called `name` in messages. Bad lines become diagnostics.
pub(super) fn rows(
    list: &Path,
    name: &Path,
    listing: &mut Listing,
) -> Result<Vec<(Origin, Row)>, Diagnostic> {
    let dataset = |error: Diagnostic| error.about(Subject::Dataset, name);
    inside(&listing.root, name).map_err(dataset)?;
    let bytes = fairhuman_files::read(list).map_err(|e| dataset(unreadable(&e)))?;
    crate::foreign::refuse_list(&bytes).map_err(dataset)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if bytes.trim_ascii_start().starts_with(b"[") {
        let text = "is one JSON array: write one object per line instead (JSON Lines)";
        return Err(dataset(Diagnostic::new(Kind::List, text)));
    }
    listing.used.push(name.to_owned());
    let mut lines = Vec::new();
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let origin = Origin { list: name.to_owned(), line: i + 1 };
        match parse(line) {
            Ok(object) => lines.push((origin, object)),
            Err(text) => {
                let error = Diagnostic::new(Kind::List, text).about(Subject::Line, "");
                listing.diagnostics.push(error.in_line(&origin));
            }
        }
    }
    Ok(lines)
}

impl<'de> Deserialize<'de> for Row {
    /// A JSON object whose keys are all different: the last of two equal keys would win in silence otherwise.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Row;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Row, M::Error> {
                let mut row = Row(Vec::new());
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if row.get(&key).is_some() {
                        return Err(M::Error::custom(format!("the key {key:?} stands twice")));
                    }
                    row.0.push((key, value));
                }
                Ok(row)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn parse(line: &[u8]) -> Result<Row, String> {
    let text =
        std::str::from_utf8(line).map_err(|e| format!("is not UTF-8 text (byte {})", e.valid_up_to() + 1))?;
    // A column that nobody asks for may hold NaN; one that is read is refused by its name.
    serde_json::from_slice(&json::with_marks(text.as_bytes())).map_err(|e| {
        // The parser counts lines within this one line; only its column means something here.
        let place = format!(" at line {} column {}", e.line(), e.column());
        let text = e.to_string();
        let text = text.strip_suffix(&place).unwrap_or(&text);
        format!("is not a good JSON object: {text} (column {})", e.column())
    })
}
