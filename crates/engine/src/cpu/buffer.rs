//! Tensors of the CPU backend, in buffers that are reused.
//!
//! A training step allocates the same sizes again and again; fresh memory would cost a page fault per 4 KiB.
//! A dropped tensor therefore leaves its buffer in a pool, from which the next tensor of about that size is
//! served, without zero-filling: every kernel overwrites what it asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Idle buffers beyond this many values are given back to the system (256 MiB).
const MAX_IDLE: usize = 1 << 26;

#[derive(Default)]
struct Idle {
    by_length: BTreeMap<usize, Vec<Vec<f32>>>,
    values: usize,
}

/// Free buffers, shared by all tensors of a backend.
#[derive(Default)]
pub(super) struct Pool(Mutex<Idle>);

impl Pool {
    fn take(&self, len: usize) -> Vec<f32> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A little slack lets sizes that differ slightly share buffers.
        let found = idle.by_length.range(len..=len + len / 8).next().map(|(&length, _)| length);
        let buffer = found.and_then(|length| idle.by_length.get_mut(&length)?.pop());
        if let (Some(length), Some(buffer)) = (found, buffer) {
            idle.values -= length;
            if idle.by_length.get(&length).is_some_and(Vec::is_empty) {
                idle.by_length.remove(&length);
            }
            return buffer;
        }
        drop(idle);
        vec![0.0; len]
    }

    fn give(&self, buffer: Vec<f32>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.values + buffer.len() <= MAX_IDLE {
            idle.values += buffer.len();
            idle.by_length.entry(buffer.len()).or_default().push(buffer);
        }
    }
}

/// Memory on loan from a pool. Contents are whatever was there before.
pub(super) struct Buffer {
    data: Vec<f32>,
    len: usize,
    pool: Arc<Pool>,
}

impl Buffer {
    pub(super) fn new(pool: &Arc<Pool>, len: usize) -> Self {
        Self { data: pool.take(len), len, pool: pool.clone() }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data[..self.len]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.data));
    }
}

/// A dense row-major f32 tensor. Clones share the data.
#[derive(Clone)]
pub struct CpuTensor {
    shape: Arc<[usize]>,
    data: Arc<Buffer>,
}

impl std::fmt::Debug for CpuTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CpuTensor{:?}", &self.shape[..])
    }
}

impl CpuTensor {
    pub(super) fn new(shape: &[usize], data: Buffer) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape: shape.into(), data: Arc::new(data) }
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn data(&self) -> &[f32] {
        &self.data
    }

    /// The last dimension.
    pub(super) fn width(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    /// Values per sample or lane.
    pub(super) fn stride(&self) -> usize {
        self.shape[1..].iter().product()
    }

    pub(super) fn reshaped(&self, shape: &[usize]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), self.data.len(), "{:?} as {shape:?}", self.shape);
        Self { shape: shape.into(), data: self.data.clone() }
    }

    /// Shape and data to overwrite; the data is copied if it is shared.
    pub(super) fn into_parts(self) -> (Arc<[usize]>, Buffer) {
        let Self { shape, data } = self;
        let buffer = Arc::try_unwrap(data).unwrap_or_else(|shared| {
            let mut copy = Buffer::new(&shared.pool, shared.len());
            copy.copy_from_slice(&shared);
            copy
        });
        (shape, buffer)
    }
}
