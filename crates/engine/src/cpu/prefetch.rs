//! Prefetching of what a product reads next: pieces of a stored matrix, too short and too far apart for the
//! hardware prefetcher. Without it, products with unpacked weights take half as long again.

use super::operands::{Rhs, Stored};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Pieces of rows that will be read soon, prefetched a few cache lines at a time.
pub(super) struct Prefetch<'a> {
    bytes: &'a [u8],
    /// Bytes from row to row, and lines of a row's piece.
    row: usize,
    piece: usize,
    /// Lines in all, those prefetched so far, and those of one step.
    lines: usize,
    done: usize,
    step: usize,
}

impl<'a> Prefetch<'a> {
    /// A part of B, in `steps` steps. Empty unless B is stored: the hardware prefetches panels.
    pub(super) fn new(
        b: Rhs<'a>,
        (start, depth): (usize, usize),
        (column, columns): (usize, usize),
        steps: usize,
    ) -> Self {
        let Rhs::Stored(Stored { data, transposed, column: from }) = b else {
            return Self { bytes: &[], row: 0, piece: 0, lines: 0, done: 0, step: 0 };
        };
        let (size, row) = (data.dtype().size(), data.bytes().len() / data.shape()[0]);
        let column = from + column;
        let (first, rows, values) = if transposed {
            (column * row + start * size, columns, depth)
        } else {
            (start * row + column * size, depth, columns)
        };
        let piece = (values * size).div_ceil(LINE);
        let lines = rows * piece;
        let bytes = data.bytes().get(first..).unwrap_or_default();
        Self { bytes, row, piece, lines, done: 0, step: lines.div_ceil(steps.max(1)) }
    }

    /// Prefetches the next few lines.
    #[inline]
    pub(super) fn step(&mut self) {
        let end = (self.done + self.step).min(self.lines);
        for line in self.done..end {
            let at = line / self.piece * self.row + line % self.piece * LINE;
            prefetch(self.bytes.as_ptr().wrapping_add(at));
        }
        self.done = end;
    }
}

#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: prefetching is a hint, without effect where the address is not mapped.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
