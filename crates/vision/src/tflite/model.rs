//! A `.tflite` file as plain data: tensors, constants and operators of its first subgraph.
//!
//! Field numbers are those of TensorFlow Lite's `schema.fbs` (version 3). Half-precision and sparse
//! constants are widened to dense f32 here, so that all other code handles f32 and i32 only.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::flatbuffers::{self, OutOfFile, Table};
use super::sparse;

/// A constant's values.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Weights, from f32 or f16.
    Float(Vec<f32>),
    /// Shapes, paddings and axes.
    Int(Vec<i32>),
}

/// One tensor of the graph.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Name given by the exporter.
    pub name: String,
    /// Shape in TensorFlow's order (images are NHWC).
    pub shape: Vec<usize>,
    /// Values of a constant; `None` for computed tensors.
    pub constant: Option<Values>,
}

/// One operator: TensorFlow Lite's builtin code, its operands and its options.
#[derive(Clone)]
pub struct Op<'a> {
    /// Builtin operator code of the schema.
    pub code: i32,
    /// Name of a custom operator, else empty.
    pub custom: String,
    /// Tensor numbers of the operands; -1 for an absent optional one.
    pub inputs: Vec<i32>,
    /// Tensor numbers of the results.
    pub outputs: Vec<i32>,
    /// The options table of the operator, if present.
    pub options: Option<Table<'a>>,
}

/// A model's first subgraph.
pub struct Graph<'a> {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// Tensor numbers of the inputs.
    pub inputs: Vec<i32>,
    /// Tensor numbers of the outputs.
    pub outputs: Vec<i32>,
    /// Operators in execution order.
    pub ops: Vec<Op<'a>>,
}

impl Graph<'_> {
    /// The shape of a tensor; empty for an absent one.
    pub fn shape(&self, tensor: i32) -> &[usize] {
        usize::try_from(tensor).map_or(&[], |i| &self.tensors[i].shape)
    }

    /// The values of a tensor, if it is constant.
    pub fn constant(&self, tensor: i32) -> Option<&Values> {
        self.tensors.get(usize::try_from(tensor).ok()?)?.constant.as_ref()
    }
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is cut off or is no FlatBuffers file.
    #[error("damaged or truncated: {0}")]
    Damaged(#[from] OutOfFile),
    /// The file has another format.
    #[error("not a TensorFlow Lite model: expected the mark TFL3 at byte 4, found {0:?}")]
    NotTflite(String),
    /// An unsupported or inconsistent constant.
    #[error("constant `{tensor}`: {reason}")]
    Constant {
        /// Tensor name.
        tensor: String,
        /// The problem.
        reason: String,
    },
}

const FLOAT32: i8 = 0;
const FLOAT16: i8 = 1;
const INT32: i8 = 2;

/// Reads the first subgraph of a `.tflite` file.
pub fn read(file: &[u8]) -> Result<Graph<'_>, ReadError> {
    let mark = file.get(4..8).unwrap_or_default();
    if mark != b"TFL3" {
        return Err(ReadError::NotTflite(String::from_utf8_lossy(mark).into_owned()));
    }
    let root = flatbuffers::root(file)?;
    let codes = root.tables(1)?;
    let buffers = root.tables(4)?;
    let subgraph = *root.tables(2)?.first().ok_or(ReadError::Damaged(OutOfFile(0)))?;
    let mut tensors =
        subgraph.tables(0)?.iter().map(|t| tensor(t, &buffers)).collect::<Result<Vec<_>, _>>()?;
    let count = tensors.len() as i32;
    let numbers = |table: &Table, slot: usize| -> Result<Vec<i32>, ReadError> {
        let list = table.i32s(slot)?;
        if list.iter().any(|&i| i >= count) {
            return Err(ReadError::Damaged(OutOfFile(0)));
        }
        Ok(list)
    };
    let mut ops = Vec::new();
    for op in subgraph.tables(3)? {
        let code = codes.get(op.i32(0, 0)?.max(0) as usize).ok_or(ReadError::Damaged(OutOfFile(0)))?;
        // Old files use the 8-bit code, new ones the 32-bit code: the larger one is valid.
        let builtin = code.i32(3, 0)?.max(i32::from(code.i8(0)?));
        let parsed = Op {
            code: builtin,
            custom: code.string(1)?,
            inputs: numbers(&op, 1)?,
            outputs: numbers(&op, 2)?,
            options: op.table(4)?,
        };
        if !fold(&parsed, &mut tensors) {
            ops.push(parsed);
        }
    }
    Ok(Graph { inputs: numbers(&subgraph, 1)?, outputs: numbers(&subgraph, 2)?, tensors, ops })
}

/// Folds DEQUANTIZE and DENSIFY of a constant, which were done when the constant was read.
fn fold(op: &Op, tensors: &mut [Tensor]) -> bool {
    const DEQUANTIZE: i32 = 6;
    const DENSIFY: i32 = 124;
    let (DEQUANTIZE | DENSIFY, [input], [output]) = (op.code, &op.inputs[..], &op.outputs[..]) else {
        return false;
    };
    let (Ok(input), Ok(output)) = (usize::try_from(*input), usize::try_from(*output)) else {
        return false;
    };
    let Some(values) = tensors[input].constant.take() else {
        return false;
    };
    tensors[output].constant = Some(values.clone());
    tensors[input].constant = Some(values);
    true
}

fn tensor(table: &Table, buffers: &[Table]) -> Result<Tensor, ReadError> {
    let name = table.string(3)?;
    let shape: Vec<usize> = table.i32s(0)?.iter().map(|&d| usize::try_from(d).unwrap_or(1)).collect();
    // Far above any detector's tensor: a damaged file must not exhaust the memory.
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if shape.len() > 6 || elements.is_none_or(|n| n > 1 << 27) {
        return Err(ReadError::Constant {
            tensor: name,
            reason: format!("its shape {shape:?} is implausible"),
        });
    }
    let bytes = match buffers.get(table.i32(2, 0)?.max(0) as usize) {
        Some(buffer) => buffer.bytes(0)?,
        None => &[],
    };
    if bytes.is_empty() {
        return Ok(Tensor { name, shape, constant: None });
    }
    let fail = |reason: String| ReadError::Constant { tensor: name.clone(), reason };
    let mut values = match table.i8(1)? {
        FLOAT32 => Values::Float(words(bytes).map(f32::from_le_bytes).collect()),
        FLOAT16 => {
            let (pairs, _) = bytes.as_chunks::<2>();
            let halves: Vec<f16> = pairs.iter().map(|b| f16::from_le_bytes(*b)).collect();
            Values::Float(halves.to_f32_vec())
        }
        INT32 => Values::Int(words(bytes).map(i32::from_le_bytes).collect()),
        other => {
            return Err(fail(format!(
                "element type {other} is not supported (f32, f16 and i32 are; quantised models are not)"
            )));
        }
    };
    if let (Some(sparsity), Values::Float(packed)) = (table.table(6)?, &values) {
        values = Values::Float(sparse::densify(&sparsity, &shape, packed).map_err(|e| match e {
            sparse::SparseError::Damaged(at) => ReadError::Damaged(at),
            sparse::SparseError::Layout(reason) => fail(reason),
        })?);
    }
    let found = match &values {
        Values::Float(v) => v.len(),
        Values::Int(v) => v.len(),
    };
    let expected: usize = shape.iter().product();
    if found != expected {
        return Err(fail(format!("expected {expected} values for the shape {shape:?}, found {found}")));
    }
    Ok(Tensor { name, shape, constant: Some(values) })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().copied()
}
