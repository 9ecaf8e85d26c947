//! Asking for what a product reads next while it multiplies: pieces of a stored matrix, too short and too far apart for
//! the processor to guess. Without it products with weights that lie in memory take half as long again.

use super::product::{Rhs, Stored};

const LINE: usize = 64;

/// Pieces of rows that will be read soon, asked for a few cache lines at a time.
pub(super) struct Prefetch<'a> {
    bytes: &'a [u8],
    /// Bytes from row to row, and lines of a row's piece.
    row: usize,
    piece: usize,
    /// Lines in all, those asked for already, and those of one step.
    lines: usize,
    asked: usize,
    step: usize,
}

impl<'a> Prefetch<'a> {
    /// A part of B, in `steps` steps; nothing of what lies in panels, which the processor guesses.
    pub(super) fn new(
        b: Rhs<'a>,
        (start, depth): (usize, usize),
        (column, columns): (usize, usize),
        steps: usize,
    ) -> Self {
        let Rhs::Stored(Stored { data, transposed, column: from }) = b else {
            return Self { bytes: &[], row: 0, piece: 0, lines: 0, asked: 0, step: 0 };
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
        Self { bytes, row, piece, lines, asked: 0, step: lines.div_ceil(steps.max(1)) }
    }

    /// Asks for the next few lines.
    #[inline]
    pub(super) fn step(&mut self) {
        let end = (self.asked + self.step).min(self.lines);
        for line in self.asked..end {
            let at = line / self.piece * self.row + line % self.piece * LINE;
            prefetch(self.bytes.as_ptr().wrapping_add(at));
        }
        self.asked = end;
    }
}

#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint, without effect where the address is not mapped.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
