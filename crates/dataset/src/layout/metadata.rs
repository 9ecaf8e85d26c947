//! The layout `metadata`: one JSON object per line names a picture, its caption, its masks.
//!
//! A byte-order mark, Windows line ends and blank lines are accepted, since editors leave them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Item, Listing, Origin, caption};
use crate::paths::unreadable;
use crate::problem::{Fault, Problem, Subject};
use crate::spec::{DatasetSpec, Region};

/// Reads the list at `list`, whose paths are relative to `root`.
pub(super) fn read(
    list: &Path,
    root: PathBuf,
    spec: &DatasetSpec,
    regions: &[Region],
) -> Result<Listing, Problem> {
    let name = PathBuf::from(list.file_name().unwrap_or(list.as_os_str()));
    let dataset = |fault| Problem { origin: None, subject: Subject::Dataset, file: name.clone(), fault };
    let bytes = std::fs::read(list).map_err(|e| dataset(unreadable(&e)))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if bytes.trim_ascii_start().starts_with(b"[") {
        let text = "is one JSON array: write one object per line instead (JSON Lines)";
        return Err(dataset(Fault::Json(text.into())));
    }

    let mut listing = Listing::new(root);
    let mut lines = Vec::new();
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let origin = Origin { list: name.clone(), line: i + 1 };
        match parse(line) {
            Ok(object) => lines.push((origin, object)),
            Err(text) => listing.problems.push(Problem {
                origin: Some(origin),
                subject: Subject::Line,
                file: PathBuf::new(),
                fault: Fault::Json(text),
            }),
        }
    }
    let columns = columns(spec, regions);
    let missing = missing_everywhere(&columns, &lines);
    for column in &missing {
        listing.problems.push(Problem {
            origin: None,
            subject: column.subject.clone(),
            file: name.clone(),
            fault: Fault::Column(format!(
                "no line has the column {:?}; the columns are {}: set `{}`",
                column.name,
                names(lines.iter().flat_map(|(_, object)| object.keys())),
                column.key
            )),
        });
    }
    for (origin, object) in lines {
        let mut fields = Vec::with_capacity(columns.len());
        let mut good = missing.is_empty();
        for column in &columns {
            let field = match field(&object, column, spec) {
                Ok(field) => field,
                Err(fault) => {
                    good = false;
                    if !missing.iter().any(|m| m.name == column.name) {
                        listing.problems.push(Problem {
                            origin: Some(origin.clone()),
                            subject: column.subject.clone(),
                            file: PathBuf::new(),
                            fault,
                        });
                    }
                    None
                }
            };
            fields.push(field);
        }
        if good {
            listing.items.extend(item(origin, fields, regions.len()));
        }
    }
    if listing.items.is_empty() && listing.problems.is_empty() {
        return Err(dataset(Fault::Recipe("lists no picture".into())));
    }
    Ok(listing)
}

/// A column that every line must have.
struct Column<'a> {
    name: &'a str,
    subject: Subject,
    /// The recipe's key that names the column.
    key: &'static str,
    /// Whether "nothing" is a possible value.
    optional: bool,
}

/// The columns in the order in which [`item`] takes their values.
fn columns<'a>(spec: &'a DatasetSpec, regions: &'a [Region]) -> Vec<Column<'a>> {
    let column = |name, subject, key, optional| Column { name, subject, key, optional };
    let mut columns = vec![
        column(&spec.image_column, Subject::Picture, "image_column", false),
        column(&spec.text_column, Subject::Caption, "text_column", false),
    ];
    for region in regions {
        let subject = Subject::Mask(region.name.clone());
        columns.push(column(&region.mask, subject, "mask", true));
    }
    if let Some(name) = &spec.conditioning {
        columns.push(column(name, Subject::Conditioning, "conditioning", false));
    }
    columns
}

fn item(origin: Origin, fields: Vec<Option<String>>, regions: usize) -> Option<Item> {
    let mut fields = fields.into_iter();
    let image = fields.next()??.into();
    let caption = fields.next()??;
    let masks = fields.by_ref().take(regions);
    Some(Item {
        origin: Some(origin),
        image,
        caption,
        masks: masks.map(|m| m.map(PathBuf::from)).collect(),
        conditioning: fields.next().flatten().map(PathBuf::from),
        size: (0, 0),
    })
}

/// A misspelt column is one problem, not one per line.
fn missing_everywhere<'a, 'b>(columns: &'b [Column<'a>], lines: &[(Origin, Object)]) -> Vec<&'b Column<'a>> {
    let has = |name: &str| lines.iter().any(|(_, object)| object.get(name).is_some());
    let missing = columns.iter().filter(|c| !lines.is_empty() && !has(c.name));
    missing.collect()
}

fn field(object: &Object, column: &Column, spec: &DatasetSpec) -> Result<Option<String>, Fault> {
    let name = column.name;
    match object.get(name) {
        Some(Value::String(text)) if column.subject == Subject::Caption => caption(text, spec).map(Some),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
        Some(Value::String(_) | Value::Null) if column.optional => Ok(None),
        Some(Value::String(_) | Value::Null) => Err(Fault::Column(format!("the column {name:?} is empty"))),
        Some(other) => Err(Fault::Column(format!("the column {name:?} must be text, but holds {other}"))),
        None => Err(Fault::Column(format!(
            "the column {name:?} is missing; the line has {}{}",
            names(object.keys()),
            if column.optional { " (write \"\" where the picture has no such region)" } else { "" }
        ))),
    }
}

fn names<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let keys: BTreeSet<&str> = keys.collect();
    if keys.is_empty() {
        return "none".into();
    }
    keys.into_iter().collect::<Vec<_>>().join(", ")
}

/// A JSON object whose keys are all different. The last of two equal keys would win in silence otherwise.
struct Object(Vec<(String, Value)>);

impl Object {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v)
    }
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(k, _)| k.as_str())
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut object = Object(Vec::new());
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if object.get(&key).is_some() {
                        return Err(M::Error::custom(format!("the key {key:?} stands twice")));
                    }
                    object.0.push((key, value));
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn parse(line: &[u8]) -> Result<Object, String> {
    let text =
        std::str::from_utf8(line).map_err(|e| format!("is not UTF-8 text (byte {})", e.valid_up_to() + 1))?;
    serde_json::from_str(text).map_err(|e| {
        // The parser counts lines within this one line; only its column means something here.
        let place = format!(" at line {} column {}", e.line(), e.column());
        let text = e.to_string();
        let text = text.strip_suffix(&place).unwrap_or(&text);
        format!("is not a good JSON object: {text} (column {})", e.column())
    })
}
