//! Tensors of the CPU backend, in buffers that are reused.
//!
//! A training step allocates the same sizes again and again; fresh memory would cost a page fault per 4 KiB.
//! A dropped tensor therefore returns its buffer to a pool, which serves the next tensor of about that size
//! without zero-filling: kernels overwrite all values. The pool never holds more than the most that was in
//! use at once, so the peak does not grow, and steps of the same shapes cause no page faults. (The number of
//! lanes follows from what is in a batch's pictures: other shapes need other buffers.)

use super::values::Values;
use crate::OutOfMemory;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Values that may be held beyond the most that was in use (16 MiB), since sizes vary a little.
const SLACK: usize = 4 << 20;

/// Unused buffers of one length with their times of return, the latest last.
type Waiting = VecDeque<(u64, Values)>;

#[derive(Default)]
struct Idle {
    by_length: BTreeMap<usize, Waiting>,
    now: u64,
    /// Values in unused buffers, values lent, and the most that were ever lent.
    values: usize,
    lent: usize,
    most: usize,
    /// Limit of unused and lent values together; none: the system's.
    limit: Option<usize>,
}

impl Idle {
    fn add(&mut self, buffer: Values) {
        self.now += 1;
        self.values += buffer.len();
        self.by_length.entry(buffer.len()).or_default().push_back((self.now, buffer));
    }

    /// The most recently returned buffer of a length: it may still be in a cache.
    fn latest(&mut self, length: usize) -> Option<Values> {
        let buffer = self.by_length.get_mut(&length)?.pop_back();
        self.removed(length, buffer)
    }

    /// The least recently returned buffer of a length.
    fn earliest(&mut self, length: usize) -> Option<Values> {
        let buffer = self.by_length.get_mut(&length)?.pop_front();
        self.removed(length, buffer)
    }

    fn removed(&mut self, length: usize, buffer: Option<(u64, Values)>) -> Option<Values> {
        if self.by_length.get(&length).is_some_and(Waiting::is_empty) {
            self.by_length.remove(&length);
        }
        let (_, buffer) = buffer?;
        self.values -= buffer.len();
        Some(buffer)
    }

    fn out_of_memory(&self, len: usize) -> OutOfMemory {
        let bytes = |values: usize| values.saturating_mul(size_of::<f32>());
        OutOfMemory { bytes: bytes(len), in_use: bytes(self.lent) }
    }

    /// Removes the least recently returned buffers until at most `bound` values are held; the caller frees
    /// them.
    fn excess(&mut self, bound: usize) -> Vec<Values> {
        let mut found = Vec::new();
        while self.lent + self.values > bound {
            let waited = |(_, buffers): &(_, &Waiting)| buffers.front().map(|&(since, _)| since);
            let Some((&length, _)) = self.by_length.iter().min_by_key(waited) else { break };
            found.extend(self.earliest(length));
        }
        found
    }
}

/// Unused buffers, shared by all tensors of a backend.
#[derive(Default)]
pub(super) struct Pool(Mutex<Idle>);

impl Pool {
    /// # Errors
    /// If the limit leaves no room for it, or the system has none.
    fn take(&self, len: usize) -> Result<Values, OutOfMemory> {
        let mut idle = self.lock();
        // A little slack lets sizes that differ slightly share buffers.
        let longest = len.saturating_add(len / 8);
        let found = idle.by_length.range(len..=longest).next().map(|(&length, _)| length);
        if let Some(buffer) = found.and_then(|length| idle.latest(length)) {
            idle.lent += buffer.len();
            idle.most = idle.most.max(idle.lent);
            return Ok(buffer);
        }
        let limit = idle.limit.unwrap_or(usize::MAX);
        let Some(lent) = idle.lent.checked_add(len).filter(|&lent| lent <= limit) else {
            return Err(idle.out_of_memory(len));
        };
        idle.lent = lent;
        let bound = idle.most.max(lent).saturating_add(SLACK).min(limit);
        let excess = idle.excess(bound);
        drop(idle);
        drop(excess);
        // The system provides zeroed pages without writing them. If it has none, all unused buffers are freed
        // first.
        let allocated = Values::zeroed(len).or_else(|| {
            let waiting = self.lock().excess(0);
            drop(waiting);
            Values::zeroed(len)
        });
        let mut idle = self.lock();
        match allocated {
            Some(buffer) => {
                idle.most = idle.most.max(lent);
                Ok(buffer)
            }
            None => {
                idle.lent -= len;
                Err(idle.out_of_memory(len))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Values in use.
    pub(super) fn lent(&self) -> usize {
        self.lock().lent
    }

    /// Sets the most values that may be held from now on.
    pub(super) fn limit(&self, values: usize) {
        let mut idle = self.lock();
        idle.limit = Some(values);
        let excess = idle.excess(values);
        drop(idle);
        drop(excess);
    }

    fn give(&self, buffer: Values) {
        let mut idle = self.lock();
        idle.lent -= buffer.len();
        idle.add(buffer);
        let excess = idle.limit.map(|limit| idle.excess(limit));
        drop(idle);
        drop(excess);
    }
}

/// Memory from a pool. Contents are whatever was there before.
pub(super) struct Buffer {
    data: Values,
    len: usize,
    pool: Arc<Pool>,
}

impl Buffer {
    /// Unwinds with [`OutOfMemory`] if there is no memory for it.
    pub(super) fn new(pool: &Arc<Pool>, len: usize) -> Self {
        let data = pool.take(len).unwrap_or_else(|error| error.raise());
        Self { data, len, pool: pool.clone() }
    }

    fn copy(&self) -> Self {
        let mut copy = Self::new(&self.pool, self.len);
        copy.copy_from_slice(self);
        copy
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

    /// Shape and writable data, copied if it is shared.
    pub(super) fn into_parts(self) -> (Arc<[usize]>, Buffer) {
        let Self { shape, data } = self;
        (shape, Arc::try_unwrap(data).unwrap_or_else(|shared| shared.copy()))
    }

    /// A copy of the values, if they are shared.
    pub(super) fn copy_if_shared(&self) -> Option<Self> {
        let copy = || Self { shape: self.shape.clone(), data: Arc::new(self.data.copy()) };
        (Arc::strong_count(&self.data) > 1).then(copy)
    }

    /// Mutable access to values that are not shared.
    ///
    /// # Panics
    /// If they are; see [`CpuTensor::copy_if_shared`].
    pub(super) fn own_data(&mut self) -> &mut [f32] {
        Arc::get_mut(&mut self.data).expect("values that nobody shares")
    }
}
