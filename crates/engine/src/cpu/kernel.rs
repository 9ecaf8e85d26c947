//! The innermost loop of every product: a tile of C held in registers.
//!
//! ```text
//!        two panels of B, [k][16]     C tile: R rows x 32 columns (two 512-bit registers a row; R <= 12 uses
//!        ┌────┬────┐                  24 of the 32). Each k loads one row of both panels and broadcasts R
//!        │ b0 │ b1 │                  values of A. A is read through two strides, so that the same loop
//! A[R,k] └────┴────┘                  serves X, X^T and the neighbourhoods of a convolution.
//! ```
//! The loop over k is in `inner_loop` where columns fill vectors. Which instructions: AVX-512 where the machine has them, AVX2
//! and FMA (`kernel_avx2`), else plain arrays that the compiler vectorises for SSE2 or NEON. Every row's sum runs over k in
//! the same order in all tile heights, so results do not depend on how rows were dealt to threads.

#[cfg(target_arch = "x86_64")]
use super::features;
use std::sync::OnceLock;

/// Columns of a panel.
pub(super) const NR: usize = 16;
/// Columns of the largest tile: two panels.
pub(super) const WIDE: usize = 2 * NR;
/// Rows of the largest tile.
pub(super) const MR: usize = 12;

/// One tile's work. Pointers, because tiles of one C are written by several threads.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// `A[i, k]` is at `a + i * a_row + k * a_col`.
    pub a: *const f32,
    pub a_row: usize,
    pub a_col: usize,
    /// Row `k` of the first 16 columns is at `b + k * b_row`, that of the others `b_next` further on.
    pub b: *const f32,
    pub b_row: usize,
    pub b_next: usize,
    /// Whether a row of each 16 columns may be read whole, however few count.
    pub b_whole: bool,
    pub depth: usize,
    pub columns: usize,
    pub c: *mut f32,
    pub c_row: usize,
    /// Start values of every row (`columns` long), or null for zero.
    pub bias: *const f32,
    /// Added to row i: `add + i * add_row`, or null. May be `c` itself.
    pub add: *const f32,
    pub add_row: usize,
}

/// Computes a tile of `rows` rows.
///
/// # Safety
/// All pointers must be valid for the stated extents, `rows` in `1..=MR`, `columns` in `1..=WIDE`, and nobody
/// else may touch the C tile.
pub(super) type TileFn = unsafe fn(rows: usize, tile: &Tile);

/// A tile function, and the blocking that suits it.
#[derive(Clone, Copy)]
pub(super) struct Microkernel {
    pub tile: TileFn,
    /// Columns of its tiles where rows and depth are many.
    pub columns: usize,
    /// Largest depth of one pass: what of B a tile reads is to stay in the first-level cache for the next rows.
    pub depth: usize,
}

/// Picks the kernel for this machine, once.
pub(super) fn microkernel() -> Microkernel {
    static CHOICE: OnceLock<Microkernel> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            if features::avx512() {
                return Microkernel { tile: avx512::tile, columns: WIDE, depth: 256 };
            }
            if features::avx2() {
                return Microkernel { tile: super::kernel_avx2::tile, columns: NR, depth: 256 };
            }
        }
        Microkernel { tile: portable_tile, columns: NR, depth: 256 }
    })
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::inner_loop::{Place, add_products};
    use super::{NR, Tile, WIDE};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn tile(rows: usize, t: &Tile) {
        // SAFETY: the caller's promise.
        unsafe {
            if t.columns > NR {
                match rows {
                    1 => wide::<1>(t),
                    2 => wide::<2>(t),
                    3 => wide::<3>(t),
                    4 => wide::<4>(t),
                    5 => wide::<5>(t),
                    6 => wide::<6>(t),
                    7 => wide::<7>(t),
                    8 => wide::<8>(t),
                    9 => wide::<9>(t),
                    10 => wide::<10>(t),
                    11 => wide::<11>(t),
                    _ => wide::<12>(t),
                }
            } else {
                match rows {
                    1 => narrow::<1>(t),
                    2 => narrow::<2>(t),
                    3 => narrow::<3>(t),
                    4 => narrow::<4>(t),
                    5 => narrow::<5>(t),
                    6 => narrow::<6>(t),
                    7 => narrow::<7>(t),
                    8 => narrow::<8>(t),
                    9 => narrow::<9>(t),
                    10 => narrow::<10>(t),
                    11 => narrow::<11>(t),
                    _ => narrow::<12>(t),
                }
            }
        }
    }

    /// More than 16 columns: two registers a row, the second one masked. A function of its own: all heights in one, each tile
    /// would begin by working out what any of them may need.
    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    unsafe fn wide<const R: usize>(t: &Tile) {
        // SAFETY: masked lanes are not touched; the rest is the caller's promise.
        unsafe {
            let mask: __mmask16 = (0xffff_ffffu32 >> (WIDE - t.columns) >> 16) as u16;
            let start = if t.bias.is_null() {
                [_mm512_setzero_ps(); 2]
            } else {
                [_mm512_loadu_ps(t.bias), _mm512_maskz_loadu_ps(mask, t.bias.add(16))]
            };
            let mut acc = [start; R];
            let (mut a, mut b) = (t.a, t.b);
            // C is met once per tile and may lie far away: ask for it while the sums are made.
            for i in 0..R {
                let c = t.c.add(i * t.c_row).cast::<i8>();
                _mm_prefetch::<_MM_HINT_ET0>(c);
                _mm_prefetch::<_MM_HINT_ET0>(c.add(64));
            }
            if t.columns == WIDE {
                add_products(&mut acc, t, Place { a, b, vectors: [0, t.b_next] });
            } else {
                for _ in 0..t.depth {
                    let b0 = _mm512_loadu_ps(b);
                    let b1 = _mm512_maskz_loadu_ps(mask, b.wrapping_add(t.b_next));
                    for (i, row) in acc.iter_mut().enumerate() {
                        let v = _mm512_set1_ps(*a.add(i * t.a_row));
                        row[0] = _mm512_fmadd_ps(v, b0, row[0]);
                        row[1] = _mm512_fmadd_ps(v, b1, row[1]);
                    }
                    a = a.wrapping_add(t.a_col);
                    b = b.wrapping_add(t.b_row);
                }
            }
            for (i, mut row) in acc.into_iter().enumerate() {
                if !t.add.is_null() {
                    let add = t.add.add(i * t.add_row);
                    row[0] = _mm512_add_ps(row[0], _mm512_loadu_ps(add));
                    row[1] = _mm512_add_ps(row[1], _mm512_maskz_loadu_ps(mask, add.add(16)));
                }
                let c = t.c.add(i * t.c_row);
                _mm512_storeu_ps(c, row[0]);
                _mm512_mask_storeu_ps(c.add(16), mask, row[1]);
            }
        }
    }

    /// At most 16 columns: one masked register a row.
    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    unsafe fn narrow<const R: usize>(t: &Tile) {
        // SAFETY: masked lanes are not touched; the rest is the caller's promise.
        unsafe {
            let mask: __mmask16 = (0xffffu32 >> (NR - t.columns)) as u16;
            let start =
                if t.bias.is_null() { _mm512_setzero_ps() } else { _mm512_maskz_loadu_ps(mask, t.bias) };
            let mut acc = [start; R];
            let (mut a, mut b) = (t.a, t.b);
            for _ in 0..t.depth {
                let b0 = _mm512_maskz_loadu_ps(mask, b);
                for (i, row) in acc.iter_mut().enumerate() {
                    *row = _mm512_fmadd_ps(_mm512_set1_ps(*a.add(i * t.a_row)), b0, *row);
                }
                a = a.wrapping_add(t.a_col);
                b = b.wrapping_add(t.b_row);
            }
            for (i, mut row) in acc.into_iter().enumerate() {
                if !t.add.is_null() {
                    row = _mm512_add_ps(row, _mm512_maskz_loadu_ps(mask, t.add.add(i * t.add_row)));
                }
                _mm512_mask_storeu_ps(t.c.add(i * t.c_row), mask, row);
            }
        }
    }
}

/// The tile as blocks of up to 6 rows x 16 columns, in arrays that the compiler keeps in vector registers.
unsafe fn portable_tile(rows: usize, t: &Tile) {
    let mut row = 0;
    while row < rows {
        let height = (rows - row).min(6);
        let mut column = 0;
        while column < t.columns {
            // SAFETY: within the tile.
            unsafe {
                let width = (t.columns - column).min(NR);
                match height {
                    6 => block::<6>(row, column, width, t),
                    5 => block::<5>(row, column, width, t),
                    4 => block::<4>(row, column, width, t),
                    3 => block::<3>(row, column, width, t),
                    2 => block::<2>(row, column, width, t),
                    _ => block::<1>(row, column, width, t),
                }
            }
            column += NR;
        }
        row += height;
    }
}

#[inline(always)]
unsafe fn block<const R: usize>(row: usize, column: usize, width: usize, t: &Tile) {
    // SAFETY: reads and writes stay within `width` columns and R rows of the tile.
    unsafe {
        let mut acc = [[0.0f32; 16]; R];
        if !t.bias.is_null() {
            for sums in &mut acc {
                for (j, sum) in sums.iter_mut().enumerate().take(width) {
                    *sum = *t.bias.add(column + j);
                }
            }
        }
        let a = t.a.wrapping_add(row * t.a_row);
        let b = t.b.wrapping_add(column / NR * t.b_next);
        for k in 0..t.depth {
            let source = b.add(k * t.b_row);
            let mut b = [0.0f32; 16];
            if width == 16 {
                b = *(source as *const [f32; 16]);
            } else {
                std::ptr::copy_nonoverlapping(source, b.as_mut_ptr(), width);
            }
            for (i, sums) in acc.iter_mut().enumerate() {
                let v = *a.add(i * t.a_row + k * t.a_col);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += v * b;
                }
            }
        }
        for (i, sums) in acc.iter().enumerate() {
            let c = t.c.add((row + i) * t.c_row + column);
            for (j, &sum) in sums.iter().enumerate().take(width) {
                let add = if t.add.is_null() { 0.0 } else { *t.add.add((row + i) * t.add_row + column + j) };
                *c.add(j) = sum + add;
            }
        }
    }
}
