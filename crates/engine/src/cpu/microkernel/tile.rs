//! A tile of C: the unit of work that every microkernel computes.

/// Columns of a panel.
pub(in crate::cpu) const NR: usize = 16;
/// Columns of the largest tile: two panels.
pub(in crate::cpu) const WIDE: usize = 2 * NR;
/// Rows of the largest tile.
pub(in crate::cpu) const MR: usize = 12;

/// One tile's operands. Pointers, because several threads write tiles of one C.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Tile {
    /// `A[i, k]` is at `a + i * a_row + k * a_col`.
    pub a: *const f32,
    pub a_row: usize,
    pub a_col: usize,
    /// Row `k` of the first 16 columns is at `b + k * b_row`, that of the others `b_next` further on.
    pub b: *const f32,
    pub b_row: usize,
    pub b_next: usize,
    /// True if all 16 values of each panel's rows may be read, even where fewer columns are wanted.
    pub b_whole: bool,
    pub depth: usize,
    pub columns: usize,
    pub c: *mut f32,
    pub c_row: usize,
    /// Initial values of every row (`columns` long), or null for zero.
    pub bias: *const f32,
    /// Added to row i: `add + i * add_row`, or null. May be `c` itself.
    pub add: *const f32,
    pub add_row: usize,
}

/// Computes a tile of `rows` rows.
///
/// # Safety
/// `rows` is in `1..=MR` and `columns` in `1..=WIDE`. For `i < rows`, `j < columns` and `k < depth`, the
/// addresses that [`Tile`] states for `A[i, k]`, `B[k, j]`, `bias[j]` and `add[i, j]` can be read and that of
/// `C[i, j]` written; where `b_whole`, so can the rest of each panel's row be read. Nobody else accesses the
/// tile of C meanwhile. The machine has the instruction set that the function is compiled for.
pub(in crate::cpu) type TileFn = unsafe fn(rows: usize, tile: &Tile);
