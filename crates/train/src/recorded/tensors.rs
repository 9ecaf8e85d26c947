//! Named tensors and strings as a safetensors file, in PyTorch's layout of images.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::weights::write_atomically;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::RecordError;

/// Values of one tensor of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats (16-bit ones are widened when read).
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

/// A tensor of a file, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Shape.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Values,
}

impl Tensor {
    /// A tensor of f32 values.
    pub fn f32(shape: &[usize], values: Vec<f32>) -> Self {
        Self { shape: shape.to_vec(), values: Values::F32(values) }
    }

    /// A tensor of f64 values.
    pub fn f64(shape: &[usize], values: Vec<f64>) -> Self {
        Self { shape: shape.to_vec(), values: Values::F64(values) }
    }

    /// As f32 values.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(v) => v.clone(),
            Values::F64(v) => v.iter().map(|&v| v as f32).collect(),
            Values::I64(v) => v.iter().map(|&v| v as f32).collect(),
        }
    }
}

/// Named tensors and the strings of the header.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorFile {
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Header strings.
    pub metadata: BTreeMap<String, String>,
}

/// Reads a safetensors file into memory.
///
/// # Errors
/// A file that cannot be read, is damaged, or holds a type other than F32, F16, BF16, F64, I64 and I32.
pub fn read_tensors(path: &Path) -> Result<TensorFile, RecordError> {
    let content = |problem: String| RecordError::Content { path: path.into(), problem };
    let bytes =
        fairhuman_files::read(path).map_err(|source| RecordError::Io { path: path.into(), source })?;
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|e| content(format!("not safetensors: {e}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| content(format!("not safetensors: {e}")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let values = values(&view).ok_or_else(|| {
            content(format!(
                "the tensor \"{name}\" is stored as {:?}; expected F32, F64 or I64",
                view.dtype()
            ))
        })?;
        tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), values });
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(TensorFile { tensors, metadata })
}

fn values(view: &TensorView<'_>) -> Option<Values> {
    let bytes = view.data();
    let (fours, eights, twos) =
        (bytes.as_chunks::<4>().0.iter(), bytes.as_chunks::<8>().0.iter(), bytes.as_chunks::<2>().0.iter());
    Some(match view.dtype() {
        Dtype::F32 => Values::F32(fours.map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Values::F32(twos.map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => Values::F32(twos.map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::F64 => Values::F64(eights.map(|b| f64::from_le_bytes(*b)).collect()),
        Dtype::I64 => Values::I64(eights.map(|b| i64::from_le_bytes(*b)).collect()),
        Dtype::I32 => Values::I64(fours.map(|b| i64::from(i32::from_le_bytes(*b))).collect()),
        _ => return None,
    })
}

/// The largest difference of each kind of tensor (the name before its first dot), as the norm of the
/// difference over that of what is expected.
///
/// # Errors
/// A tensor that is missing or has another shape.
pub fn differences(found: &TensorFile, expected: &TensorFile) -> Result<BTreeMap<String, f64>, String> {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let mut largest: BTreeMap<String, f64> = BTreeMap::new();
    for (name, tensor) in &expected.tensors {
        let other =
            found.tensors.get(name).ok_or_else(|| format!("{name} is missing in what the step gave"))?;
        if other.shape != tensor.shape {
            return Err(format!("{name}: expected shape {:?}, found {:?}", tensor.shape, other.shape));
        }
        let (x, y) = (tensor.to_f32(), other.to_f32());
        let difference = norm(&mut x.iter().zip(&y).map(|(x, y)| f64::from(x - y)));
        let size = norm(&mut x.iter().map(|&x| f64::from(x)));
        let relative = if difference == 0.0 { 0.0 } else { difference / size };
        let kind = name.split('.').next().unwrap_or(name).to_owned();
        let most = largest.entry(kind).or_default();
        *most = if relative.is_nan() { f64::INFINITY } else { most.max(relative) };
    }
    Ok(largest)
}

/// Writes a safetensors file: all of it or nothing.
///
/// # Errors
/// A file that cannot be written, a tensor whose values do not fill its shape.
pub fn write_tensors(path: &Path, file: &TensorFile) -> Result<(), RecordError> {
    let content = |problem: String| RecordError::Content { path: path.into(), problem };
    let bytes: Vec<(&String, Dtype, &[usize], &[u8])> = file
        .tensors
        .iter()
        .map(|(name, tensor)| {
            let (dtype, bytes): (Dtype, &[u8]) = match &tensor.values {
                Values::F32(v) => (Dtype::F32, bytemuck::cast_slice(v)),
                Values::F64(v) => (Dtype::F64, bytemuck::cast_slice(v)),
                Values::I64(v) => (Dtype::I64, bytemuck::cast_slice(v)),
            };
            (name, dtype, tensor.shape.as_slice(), bytes)
        })
        .collect();
    let mut views = Vec::new();
    for (name, dtype, shape, bytes) in bytes {
        let view =
            TensorView::new(dtype, shape.to_vec(), bytes).map_err(|e| content(format!("{name}: {e}")))?;
        views.push((name.as_str(), view));
    }
    let metadata = file.metadata.clone().into_iter().collect();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| content(e.to_string()))?;
    write_atomically(path, &bytes).map_err(|source| RecordError::Io { path: path.into(), source })
}

/// `[B, C, h, w]` values as `[B, h, w, C]`; `shape` is that of the input.
pub fn channels_last(values: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let [_, c, h, w] = shape;
    permute(values, c, h * w)
}

/// `[B, h, w, C]` values as `[B, C, h, w]`; `shape` is that of the result.
pub fn channels_first(values: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let [_, c, h, w] = shape;
    permute(values, h * w, c)
}

/// Transposes every `[rows, columns]` block.
fn permute(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let block = (rows * columns).max(1);
    let transpose = |block: &[f32]| -> Vec<f32> {
        (0..columns)
            .flat_map(|c| (0..rows).map(move |r| (r, c)))
            .map(|(r, c)| block[r * columns + c])
            .collect()
    };
    values.chunks_exact(block).flat_map(transpose).collect()
}
