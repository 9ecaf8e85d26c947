//! Writing safetensors and JSON files, atomically.
//!
//! The safetensors header is written in a fixed order (metadata sorted by key, tensors by alignment, then by
//! name), so that equal contents are equal files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use fairhuman_engine::{DType, WeightData};
use fairhuman_files::{write_atomically, write_atomically_with};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::WeightError;

/// A tensor to be written: little-endian, row-major bytes of `shape` in `dtype`.
#[derive(Debug, Clone, Copy)]
pub struct TensorBytes<'a> {
    /// Element type.
    pub dtype: DType,
    /// Row-major shape.
    pub shape: &'a [usize],
    /// Bytes, as many as shape and type say.
    pub bytes: &'a [u8],
}

impl<'a> TensorBytes<'a> {
    /// A tensor of f32 values, without a copy.
    pub fn f32(shape: &'a [usize], values: &'a [f32]) -> Self {
        Self { dtype: DType::F32, shape, bytes: bytemuck::cast_slice(values) }
    }

    /// A stored tensor as it is.
    pub fn stored(data: &'a WeightData) -> Self {
        Self { dtype: data.dtype(), shape: data.shape(), bytes: data.bytes() }
    }
}

/// Bytes of `values` in `dtype`, rounded to the nearest (ties to even). Too large values become infinite.
pub fn narrow(values: &[f32], dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F32 => bytemuck::cast_slice(values).to_vec(),
        DType::F16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
        DType::BF16 => values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
    }
}

/// [`narrow`], where nothing may become infinite.
///
/// # Errors
/// The first value that is not finite, or would not be in `dtype`.
pub fn narrow_finite(values: &[f32], dtype: DType) -> Result<Vec<u8>, f32> {
    let fits = |v: f32| match dtype {
        DType::F32 => v.is_finite(),
        DType::F16 => half::f16::from_f32(v).is_finite(),
        DType::BF16 => half::bf16::from_f32(v).is_finite(),
    };
    match values.iter().find(|&&v| !fits(v)) {
        Some(&value) => Err(value),
        None => Ok(narrow(values, dtype)),
    }
}

/// The tensors in the order of a file's bytes. The format asks for aligned tensors: wide types first; of one
/// type by name.
fn in_file_order<'a, 'b>(
    tensors: &'a BTreeMap<String, TensorBytes<'b>>,
) -> Vec<(&'a String, &'a TensorBytes<'b>)> {
    let mut order: Vec<_> = tensors.iter().collect();
    order.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype.size()));
    order
}

/// SHA-256, in hexadecimal, of the bytes that [`write_safetensors`] puts behind the header.
pub(crate) fn sha256_of(tensors: &BTreeMap<String, TensorBytes<'_>>) -> String {
    let mut sum = Sha256::new();
    in_file_order(tensors).into_iter().for_each(|(_, tensor)| sum.update(tensor.bytes));
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a safetensors file: all of it or nothing, and an existing file stays until the new one is complete.
///
/// # Errors
/// A tensor whose bytes do not fit its shape and type, a file that cannot be written.
pub fn write_safetensors(
    path: &Path,
    tensors: &BTreeMap<String, TensorBytes<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightError> {
    let order = in_file_order(tensors);
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    let mut offset = 0;
    for (name, tensor) in &order {
        let expected = tensor.shape.iter().product::<usize>() * tensor.dtype.size();
        if tensor.bytes.len() != expected {
            return Err(WeightError::Corrupt {
                path: path.into(),
                problem: format!(
                    "the tensor \"{name}\" of shape {:?} needs {expected} bytes, {} were given",
                    tensor.shape,
                    tensor.bytes.len()
                ),
            });
        }
        let dtype = match tensor.dtype {
            DType::F32 => "F32",
            DType::F16 => "F16",
            DType::BF16 => "BF16",
        };
        let entry =
            json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [offset, offset + expected]});
        header.insert((*name).clone(), entry);
        offset += expected;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    write_atomically_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        order.iter().try_for_each(|(_, tensor)| file.write_all(tensor.bytes))
    })
    .map_err(|source| WeightError::Io { path: path.into(), source })
}

/// Writes a JSON file such as `config.json`, indented and with a final newline.
///
/// # Errors
/// A file that cannot be written.
pub fn write_json(path: &Path, value: &Value) -> Result<(), WeightError> {
    write_atomically(path, format!("{value:#}\n").as_bytes())
        .map_err(|source| WeightError::Io { path: path.into(), source })
}
