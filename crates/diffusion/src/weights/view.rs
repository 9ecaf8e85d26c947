//! A component's weights as a view of a checkpoint file: which tensor of that file stands for which of
//! diffusers' names, and what has to be done to it. Nothing is copied but what must be transposed or cut.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use half::{bf16, f16};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::{Entry, MappedFile, WeightError, WeightFiles, fp8};

/// The name of such a file in a component's folder.
pub const VIEW: &str = "weights.view.json";

/// The content of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The checkpoint file, or a component's folder that is taken as it is.
    pub source: PathBuf,
    /// Bytes of the file, by which one that was replaced is noticed; of a folder 0.
    pub length: u64,
    /// By diffusers' names; of a folder none.
    pub tensors: BTreeMap<String, Viewed>,
}

/// A tensor in the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewed {
    /// Its name there.
    pub name: String,
    /// Its shape in diffusers: of as many values.
    pub shape: Vec<usize>,
    /// The part of it that is meant.
    #[serde(default)]
    pub part: Part,
    /// The number that its eight-bit values are multiplied by, as a tensor there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
}

/// A part of a tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// One of three equal parts of its rows: query, key and value in one.
    Third(usize),
    /// All of a matrix, with rows and columns exchanged.
    Transposed,
    /// The first input channels of a convolution, as many as the shape has.
    FirstInputs,
}

/// Opens a view.
pub(super) fn open(path: &Path) -> Result<WeightFiles, WeightError> {
    let corrupt = |problem: String| WeightError::Corrupt { path: path.into(), problem };
    let text = fairhuman_files::read(path).map_err(|source| WeightError::Io { path: path.into(), source })?;
    let view: View = serde_json::from_slice(&text).map_err(|e| corrupt(format!("not a view: {e}")))?;
    if view.source.is_dir() {
        return WeightFiles::open(&view.source);
    }
    let mut whole = WeightFiles::open_file(&view.source)?;
    let length = view.source.metadata().map_or(0, |data| data.len());
    if length != view.length {
        let source = view.source.display();
        return Err(corrupt(format!(
            "{source} had {} bytes when it was looked at, and has {length}",
            view.length
        )));
    }
    whole = whole.viewed(&view.tensors)?;
    whole.entries.retain(|name, _| view.tensors.contains_key(name));
    Ok(whole)
}

impl WeightFiles {
    /// The same tensors, but in the place of those that are viewed the views, by their own names.
    ///
    /// # Errors
    /// Tensors that are missing, or have no such part.
    pub fn viewed(mut self, views: &BTreeMap<String, Viewed>) -> Result<Self, WeightError> {
        let mut entries = std::mem::take(&mut self.entries);
        let mut parts = Vec::with_capacity(views.len());
        for (name, viewed) in views {
            let Some(entry) = entries.get(&viewed.name) else {
                return Err(WeightError::Missing { path: self.path, tensor: viewed.name.clone() });
            };
            let scale = match viewed.scale.as_ref().filter(|_| fp8::is_fp8(entry.dtype)) {
                Some(name) => self.number(name, entries.get(name))?,
                None => 1.0,
            };
            let part = part_of(&mut self, entry, viewed, scale).ok_or_else(|| WeightError::Shape {
                path: self.files[entry.file].path.clone(),
                tensor: viewed.name.clone(),
                expected: viewed.shape.clone(),
                found: entry.shape.clone(),
            })?;
            parts.push((name.clone(), part));
        }
        for viewed in views.values() {
            entries.remove(&viewed.name);
        }
        entries.extend(parts);
        Ok(Self { entries, ..self })
    }

    /// The number that scales a tensor's eight-bit values.
    fn number(&self, name: &str, entry: Option<&Entry>) -> Result<f32, WeightError> {
        let missing = || WeightError::Missing { path: self.path.clone(), tensor: name.into() };
        let entry = entry.ok_or_else(missing)?;
        let file = &self.files[entry.file];
        match (entry.dtype, &file.map.bytes()[entry.range.clone()]) {
            (Dtype::F32, &[a, b, c, d]) => Ok(f32::from_le_bytes([a, b, c, d])),
            (Dtype::F16, &[a, b]) => Ok(f16::from_le_bytes([a, b]).to_f32()),
            (Dtype::BF16, &[a, b]) => Ok(bf16::from_le_bytes([a, b]).to_f32()),
            (dtype, _) => {
                let shape = &entry.shape;
                let problem = format!(
                    "the scale \"{name}\" of eight-bit values is {dtype:?} of shape {shape:?}; expected one F32, F16 or BF16: \
                     use the file from before it was quantised"
                );
                Err(WeightError::Corrupt { path: file.path.clone(), problem })
            }
        }
    }

    /// Enters bytes that were made of a file's as a file of their own: its index, and all of it.
    fn copied(&mut self, file: usize, bytes: Vec<u8>) -> (usize, Range<usize>) {
        let (path, range) = (self.files[file].path.clone(), 0..bytes.len());
        self.files.push(MappedFile { path, map: Arc::new(bytes) });
        (self.files.len() - 1, range)
    }
}

/// The entry of a part; none where the shapes do not fit.
fn part_of(files: &mut WeightFiles, entry: &Entry, viewed: &Viewed, scale: f32) -> Option<Entry> {
    let (shape, wanted) = (&entry.shape, &viewed.shape);
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let (file, range) = match viewed.part {
        Part::Whole if count(shape) == count(wanted) => (entry.file, entry.range.clone()),
        Part::Third(k) if k < 3 && count(shape) == 3 * count(wanted) && shape.first()? % 3 == 0 => {
            let length = entry.range.len() / 3;
            let start = entry.range.start + k * length;
            (entry.file, start..start + length)
        }
        Part::Transposed if shape.len() == 2 && wanted[..] == [shape[1], shape[0]] => {
            let bytes = &files.files[entry.file].map.bytes()[entry.range.clone()];
            files.copied(entry.file, transposed(bytes, shape[0], shape[1]))
        }
        Part::FirstInputs
            if shape.len() == wanted.len()
                && shape.len() == 4
                && shape[1] >= wanted[1]
                && [shape[0], shape[2], shape[3]] == [wanted[0], wanted[2], wanted[3]] =>
        {
            let bytes = &files.files[entry.file].map.bytes()[entry.range.clone()];
            let each = bytes.len() / shape[0].max(1);
            let kept = each / shape[1].max(1) * wanted[1];
            let bytes = bytes.chunks_exact(each.max(1)).flat_map(|filter| &filter[..kept]).copied();
            files.copied(entry.file, bytes.collect())
        }
        _ => return None,
    };
    let used = AtomicBool::new(false);
    Some(Entry { file, dtype: entry.dtype, shape: wanted.clone(), range, scale, used })
}

/// The bytes of a matrix `[rows, columns]` in the order of its transpose.
pub(crate) fn transposed(bytes: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    let size = bytes.len() / (rows * columns).max(1);
    let mut out = Vec::with_capacity(bytes.len());
    for column in 0..columns {
        for row in 0..rows {
            let at = (row * columns + column) * size;
            out.extend_from_slice(&bytes[at..at + size]);
        }
    }
    out
}
