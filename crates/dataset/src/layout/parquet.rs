//! Hugging Face's Parquet files: pictures as bytes in columns of `{bytes, path}`, as `datasets` writes them.
//!
//! At first only captions are read, and the presence of masks. A picture's bytes are read when they are
//! needed: pages before its own are skipped by their heads, so a large table costs no memory.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use super::imagefolder::{SPLITS, aliases};
use super::table::{Column, columns, missing_column};
use super::{Listing, caption, shards};
use crate::content::truncated;
use crate::diagnostic::{Diagnostic, Kind, Origin, Subject};
use crate::guard::guarded;
use crate::item::Item;
use crate::paths::{cannot_read, resolve, unreadable};
use crate::picture_files::{entries, extension};
use crate::source::{ImageSource, MaskSource, TableCell};
use crate::spec::{DatasetSpec, Layout, Region};
use crate::spelling::Spellings;

/// Number of rows decoded at once where only their presence matters.
const CHUNK: usize = 64;

/// Reads the table at `path`, or the tables in the folder or its subfolder `data`.
pub(super) fn read(path: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Diagnostic> {
    let dataset = |file: &Path, error: Diagnostic| error.about(Subject::Dataset, file);
    let (root, tables) = if path.is_file() {
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        (folder, vec![PathBuf::from(path.file_name().unwrap_or_default())])
    } else {
        let tables = tables(&path, spec.split.as_deref()).map_err(|error| dataset(&path, error))?;
        (path, tables)
    };
    let mut listing = Listing::new(root, Layout::Parquet);
    if tables.is_empty() {
        let split = spec.split.as_deref().map_or(String::new(), |s| format!(" of the split {s:?}"));
        let text = format!("holds no Parquet file{split}, nor does its folder data");
        return Err(dataset(&listing.root, Diagnostic::new(Kind::Recipe, text)));
    }
    if spec.split.is_none() && tables.len() > 1 && !tables.iter().any(|table| is_of(table, "train")) {
        let others: Vec<&str> = SPLITS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| tables.iter().any(|t| is_of(t, name)))
            .collect();
        if others.len() > 1 {
            let text = format!("has no table of the split train: those of {} are read", others.join(" and "));
            listing.warn("", text);
        }
    }
    for (table, text) in shards::incomplete(&tables) {
        listing.warn(table, text);
    }
    for table in tables {
        let added = resolve(&listing.root, &table)
            .and_then(|file| guarded(|| add_table(&mut listing, &file, &table, spec, regions)));
        if let Err(error) = added {
            listing.report(Subject::Dataset, &table, error);
        }
        listing.used.push(table);
    }
    if listing.is_empty() {
        return Err(dataset(&listing.root, Diagnostic::new(Kind::Recipe, "its tables have no rows")));
    }
    Ok(listing)
}

/// The bytes in a cell of the table at `file`.
pub(crate) fn cell(file: &Path, cell: &TableCell) -> Result<Vec<u8>, Diagnostic> {
    guarded(|| cell_of_group(file, cell))
}

fn cell_of_group(file: &Path, cell: &TableCell) -> Result<Vec<u8>, Diagnostic> {
    let group = reader(file)?;
    let group = group.get_row_group(cell.group).map_err(table_error)?;
    let mut column = byte_column(&*group, cell.column)?;
    column.skip_records(cell.row).map_err(table_error)?;
    let mut values: Vec<ByteArray> = Vec::new();
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    column.read_records(1, Some(&mut definition), Some(&mut repetition), &mut values).map_err(table_error)?;
    match values.first() {
        Some(bytes) => Ok(bytes.data().to_vec()),
        None => Err(Diagnostic::missing(" in this row: the file has changed since it was opened")),
    }
}

/// The names of the first table's columns; none if it cannot be read.
pub(crate) fn column_names(path: &Path, spec: &DatasetSpec) -> Vec<String> {
    let file = if path.is_file() {
        Some(path.to_owned())
    } else {
        let tables = tables(path, spec.split.as_deref()).unwrap_or_default();
        tables.first().map(|table| path.join(table))
    };
    let Some(reader) = file.and_then(|file| guarded(|| reader(&file)).ok()) else { return Vec::new() };
    let fields = reader.metadata().file_metadata().schema().get_fields();
    fields.iter().map(|f| f.name().to_owned()).collect()
}

/// The tables of a split, sorted, relative to `root`.
fn tables(root: &Path, split: Option<&str>) -> Result<Vec<PathBuf>, Diagnostic> {
    let mut found = Vec::new();
    for folder in ["", "data"] {
        if root.join(folder).is_dir() {
            let names = entries(&root.join(folder))?.into_iter();
            let names = names.filter(|n| extension(n).as_deref() == Some("parquet"));
            found.extend(names.map(|n| Path::new(folder).join(n)));
        }
    }
    let chosen = |table: &PathBuf| is_of(table, split.unwrap_or("train"));
    if split.is_some() || found.iter().any(chosen) {
        found.retain(chosen);
    }
    Ok(found)
}

/// True if a table's name says that it is one of this split.
fn is_of(table: &Path, split: &str) -> bool {
    let stem = table.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let begins =
        |name: &&str| stem.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    aliases(split).iter().any(begins)
}

/// A column of pictures: the leaves with their bytes and their paths.
struct Pictures {
    bytes: usize,
    path: Option<usize>,
}

fn add_table(
    listing: &mut Listing,
    file: &Path,
    table: &Path,
    spec: &DatasetSpec,
    regions: &[Region],
) -> Result<(), Diagnostic> {
    let reader = reader(file)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let tops: Vec<&str> = schema.columns().iter().map(|c| c.path().parts()[0].as_str()).collect();
    let mut missing = false;
    let mut texts = None;
    let mut pictures = Vec::new();
    for column in columns(spec, regions, &spec.image_column, |name| tops.contains(&name)) {
        let problem = if !tops.contains(&column.name.as_str()) {
            Some(missing_column(&column, tops.iter().copied(), regions))
        } else if column.subject == Subject::Caption {
            texts = leaf(schema, &[&column.name]);
            let text = format!("the column {:?} does not hold texts", column.name);
            texts.is_none().then_some(Diagnostic::new(Kind::List, text))
        } else {
            let found = leaf(schema, &[&column.name, "bytes"])
                .map(|bytes| Pictures { bytes, path: leaf(schema, &[&column.name, "path"]) })
                .or_else(|| leaf(schema, &[&column.name]).map(|bytes| Pictures { bytes, path: None }));
            let text =
                format!("the column {:?} holds neither pictures as {{bytes, path}} nor bytes", column.name);
            let error = found.is_none().then_some(Diagnostic::new(Kind::List, text));
            pictures.extend(found.map(|found| (column, found)));
            error
        };
        if let Some(error) = problem {
            missing = true;
            listing.report(Subject::Dataset, table, error);
        }
    }
    if missing {
        return Ok(());
    }
    let mut first = 0;
    for group in 0..reader.num_row_groups() {
        let rows = reader.get_row_group(group).map_err(table_error)?;
        let place = Group { table, group, first };
        first += add_rows(listing, &*rows, place, texts, &pictures, spec)?;
    }
    Ok(())
}

/// The position of a row group.
#[derive(Clone, Copy)]
struct Group<'a> {
    table: &'a Path,
    group: usize,
    /// The rows before it.
    first: usize,
}

/// Adds the rows of a group and returns their number.
fn add_rows(
    listing: &mut Listing,
    group: &dyn RowGroupReader,
    place: Group,
    texts: Option<usize>,
    pictures: &[(Column, Pictures)],
    spec: &DatasetSpec,
) -> Result<usize, Diagnostic> {
    let count = group.metadata().num_rows().max(0) as usize;
    let texts = texts.map(|leaf| values(group, leaf, count)).transpose()?;
    let root = listing.root.clone();
    let spellings = Spellings::new(&root);
    let mut cells = Vec::new();
    for (_, column) in pictures {
        let paths = column.path.map(|leaf| values(group, leaf, count)).transpose()?;
        cells.push((column.bytes, present(group, column.bytes, count)?, paths));
    }
    for row in 0..count {
        let origin = Origin { list: place.table.to_owned(), line: place.first + row + 1 };
        let mut found = Vec::new();
        for ((column, _), (leaf, present, paths)) in pictures.iter().zip(&cells) {
            let path = paths.as_ref().and_then(|p| p[row].as_deref()).filter(|p| !p.is_empty());
            let source = match (present[row], path) {
                (true, _) => {
                    let mut name = format!("{}#{}", place.table.display(), place.first + row);
                    if column.subject != Subject::Picture {
                        name.push_str(&format!(" {}", column.name));
                    }
                    let (file, column) = (place.table.to_owned(), *leaf);
                    Some(ImageSource::Cell(TableCell {
                        file,
                        group: place.group,
                        row,
                        column,
                        name: name.into(),
                    }))
                }
                // Without bytes the cell is a reference to a file.
                (false, Some(path)) => {
                    let path = String::from_utf8_lossy(path).into_owned();
                    Some(ImageSource::File(spellings.find(path.into())))
                }
                (false, None) => None,
            };
            found.push((&column.subject, source));
        }
        let text = texts.as_ref().and_then(|t| t[row].as_deref()).unwrap_or_default();
        let text = caption::utf8(text).and_then(|text| caption::check(text, spec));
        let mut problem = |subject: Subject, error: Diagnostic| {
            listing.diagnostics.push(error.about(subject, "").in_line(&origin));
        };
        let mut good = true;
        let mut item = Item::new(ImageSource::File(PathBuf::new()), String::new());
        item.origin = Some(origin.clone());
        let mut pictured = false;
        for (subject, source) in found {
            match (subject, source) {
                (Subject::Picture, Some(source)) => {
                    pictured = true;
                    item.image = source.name().to_owned();
                    item.source = source;
                }
                (Subject::Conditioning, Some(source)) => item.conditioning = Some(source),
                (Subject::Picture | Subject::Conditioning, None) => {
                    good = false;
                    problem(subject.clone(), Diagnostic::new(Kind::List, "this row has none"));
                }
                (_, source) => item.masks.push(source.map(MaskSource::Picture)),
            }
        }
        match text {
            Ok(text) => item.caption = text,
            Err(error) => {
                good = false;
                problem(Subject::Caption, error);
            }
        }
        match (good, pictured) {
            (true, _) => listing.items.push(item),
            (false, true) => listing.broken.push(item),
            (false, false) => {}
        }
    }
    Ok(count)
}

fn reader(file: &Path) -> Result<SerializedFileReader<File>, Diagnostic> {
    crate::foreign::refuse_file(file)?;
    let file = fairhuman_files::open(file).map_err(|e| unreadable(&e))?;
    SerializedFileReader::new(file).map_err(table_error)
}

/// The leaf column of bytes at `path`, unless it is a list.
fn leaf(schema: &SchemaDescriptor, path: &[&str]) -> Option<usize> {
    schema.columns().iter().position(|c| {
        c.path().parts() == path && c.physical_type() == Type::BYTE_ARRAY && c.max_rep_level() == 0
    })
}

fn byte_column(
    group: &dyn RowGroupReader,
    leaf: usize,
) -> Result<ColumnReaderImpl<ByteArrayType>, Diagnostic> {
    match group.get_column_reader(leaf).map_err(table_error)? {
        ColumnReader::ByteArrayColumnReader(reader) => Ok(reader),
        _ => Err(Diagnostic::new(Kind::List, "the column does not hold bytes")),
    }
}

/// A column's values, in `CHUNK`s, with none where there is none.
fn each(
    group: &dyn RowGroupReader,
    leaf: usize,
    count: usize,
    take: &mut dyn FnMut(Option<&ByteArray>),
) -> Result<(), Diagnostic> {
    let mut column = byte_column(group, leaf)?;
    let full = group.metadata().column(leaf).column_descr().max_def_level();
    let mut done = 0;
    while done < count {
        let mut values: Vec<ByteArray> = Vec::new();
        let (mut definition, mut repetition) = (Vec::new(), Vec::new());
        let (records, ..) = column
            .read_records(CHUNK, Some(&mut definition), Some(&mut repetition), &mut values)
            .map_err(table_error)?;
        if records == 0 {
            return Err(truncated(&format!("{done} of {count} rows")));
        }
        let mut values = values.iter();
        for row in 0..records {
            let there = full == 0 || definition.get(row) == Some(&full);
            take(if there { values.next() } else { None });
        }
        done += records;
    }
    Ok(())
}

fn values(group: &dyn RowGroupReader, leaf: usize, count: usize) -> Result<Vec<Option<Vec<u8>>>, Diagnostic> {
    let mut values = Vec::new();
    each(group, leaf, count, &mut |value| values.push(value.map(|bytes| bytes.data().to_vec())))?;
    Ok(values)
}

/// For each row: true if the column has a value there.
fn present(group: &dyn RowGroupReader, leaf: usize, count: usize) -> Result<Vec<bool>, Diagnostic> {
    let statistics = group.metadata().column(leaf).statistics();
    let (full, chunks) =
        (statistics.and_then(|s| s.null_count_opt()) == Some(0), group.metadata().column(leaf));
    if full && usize::try_from(chunks.num_values()) == Ok(count) {
        return Ok(vec![true; count]);
    }
    let mut there = Vec::new();
    each(group, leaf, count, &mut |value| there.push(value.is_some_and(|v| !v.is_empty())))?;
    Ok(there)
}

fn table_error(error: ParquetError) -> Diagnostic {
    let text = error.to_string();
    if text.contains("Disabled feature") {
        return cannot_read(format!(
            "{text}; Parquet is read with Snappy, gzip or no compression, as `datasets` writes it"
        ));
    }
    cannot_read(text)
}
