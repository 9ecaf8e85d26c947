//! A memory-mapped file whose pages can be given back once they have been copied.

use std::ops::{Deref, Range};

use fairhuman_engine::WeightBytes;
use memmap2::Mmap;

/// A read-only map of a file.
pub(super) struct Mapped(pub Mmap);

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl WeightBytes for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            use memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is read-only and backed by the file: pages that are dropped are read again from
            // it when they are next looked at. A refused hint costs nothing but memory.
            let _ = unsafe { self.0.unchecked_advise_range(DontNeed, range.start, range.len()) };
        }
        #[cfg(not(unix))]
        drop(range);
    }
}
