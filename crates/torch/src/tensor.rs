//! The backend's tensor: dense values on a device, shared by clones and views.

use crate::abi::{Handle, Type};
use crate::memory::Bytes;
use crate::operators;
use std::sync::{Arc, OnceLock};

/// Dense, row-major values on a device. Clones share them.
///
/// Values of host data, parameters and gradients are f32. Where a backend computes in 16 bits it keeps a copy
/// in that type beside such a tensor from the first use on, which goes with it.
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

struct Inner {
    values: Handle,
    shape: Vec<usize>,
    bytes: Arc<Bytes>,
    converted: OnceLock<Converted>,
}

/// The values in another type.
struct Converted {
    values: Handle,
    _bytes: Arc<Bytes>,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor{:?}", self.0.shape)
    }
}

fn bytes_of(values: &Handle) -> Arc<Bytes> {
    Bytes::count(values.count() as usize * values.kind().size())
}

impl Tensor {
    /// A tensor of values of its own; values with gaps are copied.
    pub(crate) fn new(values: Handle) -> Self {
        let values = values.dense();
        let bytes = bytes_of(&values);
        Self::with(values, bytes)
    }

    fn with(values: Handle, bytes: Arc<Bytes>) -> Self {
        let shape = values.sizes().into_iter().map(|size| size as usize).collect();
        Self(Arc::new(Inner { values, shape, bytes, converted: OnceLock::new() }))
    }

    /// A tensor of a dense view of this one's values.
    pub(crate) fn view(&self, values: Handle) -> Self {
        debug_assert!(values.is_dense());
        Self::with(values, self.0.bytes.clone())
    }

    /// Tensors of dense views that share the memory of one result.
    pub(crate) fn views(of: &Handle, views: impl IntoIterator<Item = Handle>) -> Vec<Self> {
        let bytes = bytes_of(of);
        views.into_iter().map(|view| Self::with(view, bytes.clone())).collect()
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// The values in their own type.
    pub(crate) fn values(&self) -> &Handle {
        &self.0.values
    }

    /// The values in a type.
    pub(crate) fn values_as(&self, kind: Type) -> &Handle {
        if self.0.values.kind() == kind {
            return &self.0.values;
        }
        let converted = self.0.converted.get_or_init(|| {
            let values = operators::to_type(&self.0.values, kind);
            let _bytes = bytes_of(&values);
            Converted { values, _bytes }
        });
        &converted.values
    }

    /// True if another tensor has the same values.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1 || Arc::strong_count(&self.0.bytes) > 1
    }

    /// The same values, copied.
    pub(crate) fn copied(&self) -> Self {
        Self::new(operators::clone(&self.0.values))
    }

    /// Says that the values of this tensor, which are not shared, were written to.
    pub(crate) fn changed(&mut self) {
        let inner = Arc::get_mut(&mut self.0).expect("values that nobody shares");
        inner.converted = OnceLock::new();
    }
}
