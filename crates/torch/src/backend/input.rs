//! Values and weights on their way between host and device.

use super::Torch;
use crate::abi::{Element, Handle, Type};
use crate::{Tensor, memory, operators};
use fairhuman_engine::{DType, OutOfMemory, WeightData, WeightLayout, WeightRef};

/// Values read together, so that the device is waited for once: at most this many bytes, which are copied
/// first.
const READ_TOGETHER: usize = 64 << 20;

/// Ends an operation that can get no memory.
pub(crate) fn out_of_memory(bytes: usize) -> ! {
    OutOfMemory { bytes, in_use: memory::in_use() }.raise()
}

fn sizes(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&size| size as i64).collect()
}

/// Bytes of a shape; `usize::MAX` if more than can be addressed.
fn bytes(sizes: &[i64], kind: Type) -> usize {
    let count = sizes.iter().try_fold(kind.size(), |bytes, &size| bytes.checked_mul(size as usize));
    count.filter(|&bytes| isize::try_from(bytes).is_ok()).unwrap_or(usize::MAX)
}

impl Torch {
    /// Values of any content on the device.
    pub(super) fn empty(&self, sizes: &[i64], kind: Type) -> Handle {
        let bytes = bytes(sizes, kind);
        let made = if bytes == usize::MAX { None } else { Handle::try_empty(sizes, kind, self.device) };
        made.unwrap_or_else(|| out_of_memory(bytes))
    }

    /// Zeros on the device.
    pub(super) fn zeros_of(&self, sizes: &[i64], kind: Type) -> Handle {
        let zeros = self.empty(sizes, kind);
        zeros.fill_with_zeros();
        zeros
    }

    /// Host data on the device.
    pub(super) fn host_data<T: Element>(&self, sizes: &[i64], values: &[T]) -> Handle {
        Handle::from_slice(sizes, values, self.device).unwrap_or_else(|| out_of_memory(size_of_val(values)))
    }

    pub(super) fn tensor_of(&self, shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::new(self.host_data(&sizes(shape), values))
    }

    pub(super) fn zero_tensor(&self, shape: &[usize]) -> Tensor {
        Tensor::new(self.zeros_of(&sizes(shape), Type::F32))
    }

    pub(super) fn reshaped(&self, tensor: &Tensor, shape: &[usize]) -> Tensor {
        tensor.view(tensor.values().reshape(&sizes(shape)))
    }

    pub(super) fn read_all(&self, tensors: &[&Tensor]) -> Vec<Vec<f32>> {
        let size = |tensor: &&Tensor| Type::F32.size() * tensor.values().count() as usize;
        let mut results = Vec::with_capacity(tensors.len());
        for group in super::parameter::groups(tensors, size, READ_TOGETHER) {
            let flat: Vec<_> = group
                .iter()
                .map(|tensor| operators::to_type(tensor.values(), Type::F32).reshape(&[-1]))
                .collect();
            let values = match flat.as_slice() {
                [alone] => alone.to_vec::<f32>(),
                several => operators::cat(&several.iter().collect::<Vec<_>>(), 0).to_vec::<f32>(),
            };
            let mut rest = values.as_slice();
            for tensor in &flat {
                let (own, others) = rest.split_at(tensor.count() as usize);
                results.push(own.to_vec());
                rest = others;
            }
        }
        results
    }

    /// A frozen weight in the type of activations: moved in the type of its file, then converted on the
    /// device. Filters become `[O, kh, kw, I]`, as trained ones are.
    pub(super) fn frozen(&self, data: &WeightData, layout: WeightLayout) -> Tensor {
        let kind = match data.dtype() {
            DType::F32 => Type::F32,
            DType::F16 => Type::F16,
            DType::BF16 => Type::Bf16,
        };
        let moved = Handle::from_bytes(&sizes(data.shape()), data.bytes(), kind, self.device);
        let moved = moved.unwrap_or_else(|| out_of_memory(data.bytes().len()));
        data.release();
        let laid = match (layout, data.shape()) {
            (WeightLayout::Matrix, shape) => moved.reshape(&[shape[0] as i64, -1]),
            (WeightLayout::Filter, _) => moved.nhwc().dense(),
            (WeightLayout::Table, _) => moved,
        };
        self.activation_of(&laid)
    }

    /// The values of a weight, frozen or trained.
    pub(super) fn weight_values<'w>(&self, weight: WeightRef<'w, Self>) -> &'w Handle {
        match weight {
            WeightRef::Frozen(tensor) | WeightRef::Trained(tensor) => self.values(tensor),
        }
    }
}
