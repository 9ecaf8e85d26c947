//! Frozen weights in a file's own layout: bytes of a known type, borrowed for as long as they are used.

use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// Element type of stored weights; in settings "f32", "f16" or "bf16".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit float.
    #[default]
    F32,
    /// 16-bit IEEE float.
    F16,
    /// bfloat16.
    BF16,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::BF16 => 2,
        }
    }
}

/// Storage of tensors: memory, or a memory-mapped file.
pub trait WeightBytes: Send + Sync {
    /// All bytes.
    fn bytes(&self) -> &[u8];

    /// Hint: these bytes have been read and will hardly be needed again, so a memory map may drop their
    /// pages.
    fn release(&self, _range: Range<usize>) {}
}

impl WeightBytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Shared bytes of a stored tensor, little-endian and row-major. A memory map stays a memory map.
#[derive(Clone)]
pub struct WeightData {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Arc<dyn WeightBytes>,
    range: Range<usize>,
}

impl std::fmt::Debug for WeightData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WeightData({:?}, {:?})", self.dtype, self.shape)
    }
}

impl WeightData {
    /// A tensor of `shape` in `bytes[range]`.
    ///
    /// # Panics
    /// If the range's length is not that of the shape and type.
    pub fn new(dtype: DType, shape: Vec<usize>, bytes: Arc<dyn WeightBytes>, range: Range<usize>) -> Self {
        let expected = shape.iter().product::<usize>() * dtype.size();
        assert_eq!(range.len(), expected, "{} bytes given for {shape:?} {dtype:?}", range.len());
        assert!(range.end <= bytes.bytes().len(), "range {range:?} outside the bytes");
        Self { dtype, shape, bytes, range }
    }

    /// A tensor of f32 values in memory.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes: Vec<u8> = bytemuck::cast_slice(values).to_vec();
        let range = 0..bytes.len();
        Self::new(DType::F32, shape.to_vec(), Arc::new(bytes), range)
    }

    /// Element type in the file.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape in the file.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The raw bytes; not necessarily aligned.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes.bytes()[self.range.clone()]
    }

    /// Hint: the data has been copied elsewhere and will hardly be read again.
    pub fn release(&self) {
        self.bytes.release(self.range.clone());
    }

    /// The same data with another shape of as many elements.
    pub fn reshaped(mut self, shape: &[usize]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), self.len(), "{:?} as {shape:?}", self.shape);
        self.shape = shape.to_vec();
        self
    }

    /// Elements `start .. start + out.len()`, widened to f32 (exact).
    pub fn widen_into(&self, start: usize, out: &mut [f32]) {
        let size = self.dtype.size();
        let bytes = &self.bytes()[start * size..(start + out.len()) * size];
        match self.dtype {
            DType::F32 => {
                for (o, b) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *o = f32::from_le_bytes(*b);
                }
            }
            DType::F16 => match bytemuck::try_cast_slice::<u8, half::f16>(bytes) {
                Ok(values) if cfg!(target_endian = "little") => values.convert_to_f32_slice(out),
                _ => {
                    for (o, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                        *o = half::f16::from_le_bytes(*b).to_f32();
                    }
                }
            },
            DType::BF16 => {
                for (o, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *o = f32::from_bits((u16::from_le_bytes(*b) as u32) << 16);
                }
            }
        }
    }

    /// All elements, widened to f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.len()];
        self.widen_into(0, &mut out);
        out
    }
}
