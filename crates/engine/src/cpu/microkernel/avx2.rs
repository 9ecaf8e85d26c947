//! The tile of C for AVX2 and FMA: sixteen registers of eight values.
//!
//! ```text
//!        4 to 6 rows x 16 columns:  12 sums, 2 of B, 1 of A        1 to 3 rows x 32 columns: 12 sums, 4 of B
//!        ┌────┬────┐                two loads of B and R           ┌────┬────┬────┬────┐
//!        │ b0 │ b1 │                broadcasts of A for            │ b0 │ b1 │ b2 │ b3 │
//!  A[R]  └────┴────┘                2R multiply-adds         A[R]  └────┴────┴────┴────┘
//! ```
//! Both multipliers are busy when eight or more sums are in flight (latency 4, two a cycle). Tiles of four
//! and more rows are cut into blocks 16 columns wide, one panel of B, with rows divided evenly: a panel of
//! 256 x 16, or two of 128 x 16, fill half of the first-level cache and stay there for all rows of a task.
//! Every value is summed over k in the same order in every block.

use super::inner_loop::{Start, add_products};
use super::tile::{MR, NR, Tile};
use std::arch::x86_64::*;

/// Values of a register.
const LANES: usize = 8;
/// Rows of the largest block of two registers a row.
const ROWS: usize = 6;
// A tile is at most two blocks high.
const _: () = assert!(MR <= 2 * ROWS);

/// See [`super::TileFn`].
///
/// # Safety
/// As there; the machine must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile(rows: usize, t: &Tile) {
    // SAFETY: the strips' rows add up to `rows` and their columns to `columns`, so all lie in the tile.
    unsafe {
        if rows < 4 {
            return strip(0, rows, 0, t.columns, t);
        }
        for column in (0..t.columns).step_by(NR) {
            let width = (t.columns - column).min(NR);
            // Two blocks of about the same height.
            let upper = if rows > ROWS { rows.div_ceil(2) } else { rows };
            strip(0, upper, column, width, t);
            if upper < rows {
                strip(upper, rows - upper, column, width, t);
            }
        }
    }
}

/// Picks the block for a height of up to 6 and a width of up to 16, or of up to 3 and 32.
///
/// # Safety
/// As for [`tile`]; the strip lies in the tile.
#[inline(always)]
unsafe fn strip(row: usize, height: usize, column: usize, width: usize, t: &Tile) {
    // SAFETY: each block has the strip's height, and as many registers as its width fills.
    unsafe {
        match (height, width.div_ceil(LANES)) {
            (1, 1) => block::<1, 1>(row, column, width, t),
            (1, 2) => block::<1, 2>(row, column, width, t),
            (1, 3) => block::<1, 3>(row, column, width, t),
            (1, _) => block::<1, 4>(row, column, width, t),
            (2, 1) => block::<2, 1>(row, column, width, t),
            (2, 2) => block::<2, 2>(row, column, width, t),
            (2, 3) => block::<2, 3>(row, column, width, t),
            (2, _) => block::<2, 4>(row, column, width, t),
            (3, 1) => block::<3, 1>(row, column, width, t),
            (3, 2) => block::<3, 2>(row, column, width, t),
            (3, 3) => block::<3, 3>(row, column, width, t),
            (3, _) => block::<3, 4>(row, column, width, t),
            (4, 1) => block::<4, 1>(row, column, width, t),
            (4, _) => block::<4, 2>(row, column, width, t),
            (5, 1) => block::<5, 1>(row, column, width, t),
            (5, _) => block::<5, 2>(row, column, width, t),
            (_, 1) => block::<6, 1>(row, column, width, t),
            _ => block::<6, 2>(row, column, width, t),
        }
    }
}

/// The first `count` lanes, of up to eight.
///
/// # Safety
/// The machine must have AVX.
#[inline(always)]
unsafe fn first_lanes(count: usize) -> __m256i {
    const MASKS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: `count` is at most eight, so the eight values read are among the sixteen.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(LANES - count).cast()) }
}

/// R rows of V registers, the last of them with `width - 8 (V - 1)` values. Not inlined: with all blocks in
/// one function, every tile would start by computing addresses for all of them.
///
/// # Safety
/// As for [`tile`]; the block lies in the tile, and V registers are just enough for `width`.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn block<const R: usize, const V: usize>(row: usize, column: usize, width: usize, t: &Tile) {
    // SAFETY: the same block; FULL only where every register is.
    unsafe {
        if width == V * LANES {
            sums::<R, V, true>(row, column, width, t);
        } else {
            sums::<R, V, false>(row, column, width, t);
        }
    }
}

/// A row of V registers whose columns from the 17th on lie `next` further on; without FULL the last one
/// masked. (Not a closure: those are functions of their own, compiled without AVX2.)
///
/// # Safety
/// The machine must have AVX; the row's values, but for those masked, can be read.
#[inline(always)]
unsafe fn load<const V: usize, const FULL: bool>(
    from: *const f32,
    next: usize,
    mask: __m256i,
) -> [__m256; V] {
    // SAFETY: each register reads its own values of the row; a masked load does not touch masked lanes.
    unsafe {
        let mut values = [_mm256_setzero_ps(); V];
        for (v, value) in values.iter_mut().enumerate() {
            let from = from.wrapping_add(v * LANES % NR + v * LANES / NR * next);
            *value = match FULL || v + 1 < V {
                true => _mm256_loadu_ps(from),
                false => _mm256_maskload_ps(from, mask),
            };
        }
        values
    }
}

/// The block itself; see [`block`].
///
/// # Safety
/// As there; FULL only where `width` is that of V whole registers.
#[inline(always)]
unsafe fn sums<const R: usize, const V: usize, const FULL: bool>(
    row: usize,
    column: usize,
    width: usize,
    t: &Tile,
) {
    // SAFETY: the R rows and `width` columns are in the tile. Lanes beyond them are masked where they are
    // loaded (or `b_whole` says that they can be read) and left out where values are stored. Prefetching is a
    // hint.
    unsafe {
        let mask = first_lanes(width - (V - 1) * LANES);
        let start = match t.bias.is_null() {
            true => [_mm256_setzero_ps(); V],
            false => load::<V, FULL>(t.bias.add(column), NR, mask),
        };
        let mut acc = [start; R];
        let c = t.c.add(row * t.c_row + column);
        // C is read once per tile and is likely not in the cache: fetch it while the sums are computed.
        for i in 0..R {
            _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(i * t.c_row).cast());
        }
        let (mut a, mut b) = (t.a.wrapping_add(row * t.a_row), t.b.wrapping_add(column / NR * t.b_next));
        // With more vectors a row no register is left for the unrolled loop.
        if (FULL || t.b_whole) && V <= 2 {
            let mut vectors = [0; V];
            for (v, offset) in vectors.iter_mut().enumerate() {
                *offset = v * LANES % NR + v * LANES / NR * t.b_next;
            }
            add_products(&mut acc, t, Start { a, b, vectors });
        } else {
            for _ in 0..t.depth {
                let values = load::<V, FULL>(b, t.b_next, mask);
                for (i, sums) in acc.iter_mut().enumerate() {
                    let factor = _mm256_broadcast_ss(&*a.add(i * t.a_row));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = _mm256_fmadd_ps(factor, value, *sum);
                    }
                }
                a = a.wrapping_add(t.a_col);
                b = b.wrapping_add(t.b_row);
            }
        }
        for (i, mut sums) in acc.into_iter().enumerate() {
            if !t.add.is_null() {
                let add = load::<V, FULL>(t.add.add((row + i) * t.add_row + column), NR, mask);
                for (sum, add) in sums.iter_mut().zip(add) {
                    *sum = _mm256_add_ps(*sum, add);
                }
            }
            let c = c.add(i * t.c_row);
            if FULL {
                for (v, sum) in sums.into_iter().enumerate() {
                    _mm256_storeu_ps(c.add(v * LANES), sum);
                }
            } else {
                // Masked stores are slow on some machines.
                let mut values = [[0.0f32; LANES]; V];
                for (values, sum) in values.iter_mut().zip(sums) {
                    _mm256_storeu_ps(values.as_mut_ptr(), sum);
                }
                std::ptr::copy_nonoverlapping(values.as_ptr().cast(), c, width);
            }
        }
    }
}
