//! Bytes that tensors and weights take. libtorch's allocators are the process's, and so is this count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Bytes in use now.
pub(crate) fn in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

/// Bytes that are counted while this lives. All views of the same values share one, so that it tells whether
/// values are shared, too.
#[derive(Debug)]
pub(crate) struct Bytes(usize);

impl Bytes {
    pub(crate) fn count(bytes: usize) -> Arc<Self> {
        IN_USE.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Self(bytes))
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        IN_USE.fetch_sub(self.0, Ordering::Relaxed);
    }
}
