//! Memory for values: large pieces are asked of the system and given back to it whole, small ones are the
//! allocator's.
//!
//! With every large piece that is freed glibc's allocator raises the size from which it asks the system, up
//! to 32 MiB. Training's tensors, of many sizes, would then lie among each other in a heap that never
//! shrinks: a third of a run's memory was lost in it.

use bytemuck::allocation::try_zeroed_vec;
use memmap2::MmapMut;

/// Values from which a piece is large (1 MiB).
const LARGE: usize = 1 << 18;

/// Values in memory of their own.
pub(super) enum Values {
    /// From the allocator.
    Small(Vec<f32>),
    /// Pages from the system.
    Large(MmapMut),
}

impl Values {
    /// So many zeros; none where there is no memory. Pages are not touched before they are written.
    pub(super) fn zeroed(len: usize) -> Option<Self> {
        let pages = || MmapMut::map_anon(len.checked_mul(size_of::<f32>())?).ok();
        // A system has only so many mappings for a process.
        let large = if len >= LARGE { pages().map(Self::Large) } else { None };
        large.or_else(|| try_zeroed_vec(len).ok().map(Self::Small))
    }
}

impl Default for Values {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl std::ops::Deref for Values {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match self {
            Self::Small(values) => values,
            Self::Large(pages) => bytemuck::cast_slice(pages),
        }
    }
}

impl std::ops::DerefMut for Values {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Small(values) => values,
            Self::Large(pages) => bytemuck::cast_slice_mut(pages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_zeros_that_can_be_written_whatever_their_number() {
        for len in [0, 1, LARGE - 1, LARGE, LARGE + 3] {
            let mut values = Values::zeroed(len).expect("a megabyte");
            assert_eq!(values.len(), len);
            assert!(values.iter().all(|&value| value == 0.0));
            values.fill(2.0);
            assert!(values.iter().all(|&value| value == 2.0));
        }
        for len in [usize::MAX / 8, usize::MAX] {
            assert!(Values::zeroed(len).is_none());
        }
    }
}
