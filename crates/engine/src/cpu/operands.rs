//! The operands of a product: views of A and B, and the part of C that is written.

use super::bf16::Columns;
use super::microkernel::WIDE;
use crate::WeightData;

/// A strided view of A: element `[i, k]` is `data[i * row + k * col]`.
#[derive(Clone, Copy)]
pub(super) struct Lhs<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

impl<'a> Lhs<'a> {
    /// `[m, k]`, row-major, rows `width` apart.
    pub fn dense(data: &'a [f32], width: usize) -> Self {
        Self { data, row: width, col: 1 }
    }

    /// The transpose of `[k, m]`, row-major.
    pub fn transposed(data: &'a [f32], width: usize) -> Self {
        Self { data, row: 1, col: width }
    }

    /// A from a row on.
    pub fn below(self, row: usize) -> Self {
        Self { data: self.data.get(row * self.row..).unwrap_or_default(), ..self }
    }
}

/// B, `[k, n]`: packed, or as stored.
#[derive(Clone, Copy)]
pub(super) enum Rhs<'a> {
    /// `ceil(n / 16)` panels of `[depth][16]`, the last one padded with zeros; B is rows `start .. start + k`
    /// of them.
    Panels { data: &'a [f32], depth: usize, start: usize },
    /// Row-major with rows `usize` apart.
    Dense(&'a [f32], usize),
    /// A frozen weight in its file's layout and type.
    Stored(Stored<'a>),
    /// A frozen weight in bfloat16, with which A is rounded, too.
    Pairs(Columns<'a>),
}

/// Columns of a stored matrix W, or of its transpose, from `column` on.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    pub data: &'a WeightData,
    pub transposed: bool,
    pub column: usize,
}

/// Terms that a product adds while it writes C.
#[derive(Clone, Copy, Default)]
pub(super) struct ProductEpilogue<'a> {
    /// Per column.
    pub bias: Option<&'a [f32]>,
    /// A matrix and its row distance.
    pub add: Option<(&'a [f32], usize)>,
    /// Add to what C holds; excludes `add`.
    pub accumulate: bool,
}

/// A product's sizes: `C [m, n] = A [m, k] B [k, n]`.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub m: usize,
    pub k: usize,
    pub n: usize,
}

/// The part of C that one call writes: rows `c_row` apart.
pub(super) struct Target {
    pub c: *mut f32,
    pub c_row: usize,
}

// SAFETY: a target is only an address; dereferencing it is unsafe, and all who do so from several threads
// write disjoint parts of C (each says how).
unsafe impl Send for Target {}
// SAFETY: likewise; no method reads or writes through the pointer.
unsafe impl Sync for Target {}

impl Target {
    pub fn new(c: &mut [f32], c_row: usize) -> Self {
        Self { c: c.as_mut_ptr(), c_row }
    }

    /// The part that starts at a row and column.
    pub fn at(&self, row: usize, column: usize) -> Self {
        Self { c: self.c.wrapping_add(row * self.c_row + column), c_row: self.c_row }
    }
}

impl<'a> Rhs<'a> {
    /// Number of columns that are packed at once, for tiles of `width`. Stored weights are read in pieces of
    /// rows, so the pieces should be long.
    pub fn block(self, width: usize) -> usize {
        if matches!(self, Self::Stored(_)) { 2 * WIDE } else { width }
    }

    /// B from a column on, which must be a multiple of 16.
    pub fn right_of(self, column: usize) -> Self {
        match self {
            Self::Panels { data, depth, start } => {
                Self::Panels { data: &data[column * depth..], depth, start }
            }
            Self::Dense(data, distance) => Self::Dense(data.get(column..).unwrap_or_default(), distance),
            Self::Stored(stored) => Self::Stored(Stored { column: stored.column + column, ..stored }),
            Self::Pairs(columns) => Self::Pairs(columns.right_of(column)),
        }
    }
}
