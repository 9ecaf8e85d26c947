//! Lists with columns: which columns a recipe needs, and one row as an item. For JSON lines, CSV and Parquet.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

use serde_json::Value;

use super::{Listing, caption, json};
use crate::diagnostic::{Diagnostic, Kind, Origin, Subject};
use crate::item::Item;
use crate::picture_files::{extension, is_picture};
use crate::source::{ImageSource, MaskSource};
use crate::spec::{DatasetSpec, Region};
use crate::spelling::Spellings;

/// One row: names and values in order, all names different.
pub(super) struct Row(pub Vec<(String, Value)>);

impl Row {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v)
    }
    fn keys(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|(k, _)| k.as_str())
    }
}

/// A column that every row must have.
pub(super) struct Column {
    pub name: String,
    pub subject: Subject,
    /// The recipe's key that names the column.
    pub key: &'static str,
    /// True if "nothing" is a possible value.
    pub optional: bool,
}

/// The columns in the order in which [`item`] takes their values. `image` is the picture's, and `exists`
/// tells which columns there are: Hugging Face calls further pictures `NAME_file_name`.
pub(super) fn columns(
    spec: &DatasetSpec,
    regions: &[Region],
    image: &str,
    exists: impl Fn(&str) -> bool,
) -> Vec<Column> {
    let column =
        |name: &str, subject, key, optional| Column { name: name.to_owned(), subject, key, optional };
    let further = |name: &str| {
        let long = format!("{name}_file_name");
        if !exists(name) && exists(&long) { long } else { name.to_owned() }
    };
    let mut columns = vec![column(image, Subject::Picture, "image_column", false)];
    if spec.default_caption.is_none() || exists(&spec.text_column) {
        columns.push(column(&spec.text_column, Subject::Caption, "text_column", false));
    }
    for region in regions {
        let subject = Subject::Mask(region.name.clone());
        columns.push(column(&further(&region.mask), subject, "mask", true));
    }
    if let Some(name) = &spec.conditioning {
        columns.push(column(&further(name), Subject::Conditioning, "conditioning", false));
    }
    columns
}

/// The error of a column that no row has.
pub(super) fn missing_column<'a>(
    column: &Column,
    found: impl Iterator<Item = &'a str> + Clone,
    regions: &[Region],
) -> Diagnostic {
    let meant = nearest(&column.name, found.clone(), regions);
    Diagnostic::new(
        Kind::List,
        format!(
            "no line has the column {:?}; the columns are {}: set `{}`{}{}",
            column.name,
            names(found),
            column.key,
            if column.subject == Subject::Caption { ", or `default_caption`" } else { "" },
            meant.map_or(String::new(), |meant| format!(" (did you mean {meant:?}?)"))
        ),
    )
}

/// The one of the keys that nobody asks for which is nearest to a name, if it is near: of four letters one
/// may be wrong.
pub(super) fn nearest<'a>(
    name: &str,
    keys: impl Iterator<Item = &'a str>,
    regions: &[Region],
) -> Option<&'a str> {
    let free: BTreeSet<&str> = keys.filter(|key| regions.iter().all(|region| region.mask != *key)).collect();
    let (distance, key) = free.into_iter().map(|key| (strsim::damerau_levenshtein(key, name), key)).min()?;
    (4 * distance <= name.chars().count()).then_some(key)
}

/// Adds all rows to a listing. Paths in them are relative to `folder`, which is relative to the dataset's.
pub(super) fn add_rows(
    listing: &mut Listing,
    list: &Path,
    folder: &Path,
    rows: Vec<(Origin, Row)>,
    image: &str,
    spec: &DatasetSpec,
    regions: &[Region],
) {
    let has = |name: &str| rows.iter().any(|(_, row)| row.get(name).is_some());
    let columns = columns(spec, regions, image, has);
    // A misspelt column is one problem, not one per line.
    let missing: Vec<&Column> = columns.iter().filter(|c| !rows.is_empty() && !has(&c.name)).collect();
    for column in &missing {
        let error = missing_column(column, rows.iter().flat_map(|(_, row)| row.keys()), regions);
        listing.report(column.subject.clone(), list, error);
    }
    let root = listing.root.clone();
    let spellings = Spellings::new(&root);
    for (origin, row) in rows {
        // Pictures of columns that this recipe does not ask for are not unused.
        let other = |(name, value): &'_ (String, Value)| {
            let path = Path::new(value.as_str().filter(|_| columns.iter().all(|c| c.name != *name))?);
            extension(path).is_some_and(|e| is_picture(&e)).then(|| spellings.find(folder.join(path)))
        };
        listing.used.extend(row.0.iter().filter_map(other));
        let mut fields = Vec::with_capacity(columns.len());
        let mut good = true;
        for column in &columns {
            let field = match field(&row, column, (spec, regions)) {
                Ok(field) => field,
                Err(error) if !missing.iter().any(|m| m.name == column.name) => {
                    good = false;
                    let error = error.about(column.subject.clone(), "").in_line(&origin);
                    listing.diagnostics.push(error);
                    None
                }
                Err(_) => {
                    // Without the masks of one region a check can still look at the others.
                    good &= column.optional;
                    None
                }
            };
            fields.push((&column.subject, field));
        }
        if let Some(item) = item(origin, fields, folder, &spellings) {
            if good {
                listing.items.push(item);
            } else {
                listing.broken.push(item);
            }
        }
    }
}

/// An item of its fields, unless there is no picture.
fn item(
    origin: Origin,
    fields: Vec<(&Subject, Option<String>)>,
    folder: &Path,
    spellings: &Spellings,
) -> Option<Item> {
    let mut item = Item::new(ImageSource::File(Default::default()), String::new());
    item.origin = Some(origin);
    let file = |name: String| ImageSource::File(spellings.find(folder.join(name)));
    for (subject, value) in fields {
        match subject {
            Subject::Picture => {
                item.source = file(value?);
                item.image = item.source.name().to_owned();
            }
            Subject::Caption => item.caption = value.unwrap_or_default(),
            Subject::Mask(_) => item.masks.push(value.map(|name| MaskSource::Picture(file(name)))),
            Subject::Conditioning => item.conditioning = value.map(file),
            Subject::Dataset | Subject::Line => {}
        }
    }
    Some(item)
}

fn field(
    row: &Row,
    column: &Column,
    (spec, regions): (&DatasetSpec, &[Region]),
) -> Result<Option<String>, Diagnostic> {
    let name = &column.name;
    let not_text = |found: &dyn Display| {
        Diagnostic::new(Kind::List, format!("the column {name:?} must be text, but holds {found}"))
    };
    if let Some(Value::String(text)) = row.get(name)
        && let Some(number) = json::marked(text)
    {
        return Err(not_text(&number));
    }
    match row.get(name) {
        Some(Value::String(text)) if column.subject == Subject::Caption => {
            caption::check(text, spec).map(Some)
        }
        Some(Value::Null) if column.subject == Subject::Caption => caption::check("", spec).map(Some),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
        Some(Value::String(_) | Value::Null) if column.optional => Ok(None),
        Some(Value::String(_) | Value::Null) => {
            Err(Diagnostic::new(Kind::List, format!("the column {name:?} is empty")))
        }
        Some(other) => Err(not_text(other)),
        None => Err(Diagnostic::new(
            Kind::List,
            format!(
                "the column {name:?} is missing; the line has {}{}{}",
                names(row.keys()),
                nearest(name, row.keys(), regions)
                    .map_or(String::new(), |near| format!(": is {near:?} a misspelling of it?")),
                if column.optional { " (write \"\" where the picture has no such region)" } else { "" }
            ),
        )),
    }
}

fn names<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let keys: BTreeSet<&str> = keys.collect();
    if keys.is_empty() {
        return "none".into();
    }
    keys.into_iter().collect::<Vec<_>>().join(", ")
}
