//! The loop over depth of a tile whose columns fill vectors, or may be read as if they did: R rows of N
//! vectors, in registers.
//!
//! A core that shares its units with a second thread runs out of instruction slots before it runs out of
//! multipliers, so the loop is written for few instructions: A's strides decide how its values are addressed.

use super::tile::{MR, NR, Tile};
use crate::cpu::simd::Vector;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// Steps of depth that are unrolled where rows of A are dense.
const UNROLL: usize = 4;
/// Rows of B between the one in use and the one prefetched: in a matrix as stored, rows are too far apart for
/// the processor to predict.
const AHEAD: usize = 12;

/// Start of a loop: A and B at the block's first row and column, and the offsets of a row's N vectors in B.
#[derive(Clone, Copy)]
pub(super) struct Start<const N: usize> {
    pub a: *const f32,
    pub b: *const f32,
    pub vectors: [usize; N],
}

/// Adds `A[i, k] B[k]` over all k of the tile to row i, in order of k.
///
/// # Safety
/// As for [`Vector`] and [`super::TileFn`], for R rows from `start.a` on; all N vectors of B's rows can be
/// read whole.
#[inline(always)]
pub(super) unsafe fn add_products<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    t: &Tile,
    start: Start<N>,
) {
    // SAFETY: the functions have this one's conditions, and the strides given are the tile's.
    unsafe {
        if t.a_col != 1 {
            // A stride of one, known at compile time, saves computing addresses.
            return match t.a_row {
                1 => strided(sums, t, start, 1),
                a_row => strided(sums, t, start, a_row),
            };
        }
        match t.b_row {
            NR => dense_rows(sums, t, start, NR),
            b_row => dense_rows(sums, t, start, b_row),
        }
    }
}

/// `sums[i] += A[i] B` for one k, with `A[i]` at `value(i)`.
///
/// # Safety
/// As for [`Vector`]; the N vectors of the row at `b` and all `A[i]` can be read.
#[inline(always)]
unsafe fn add_row<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    b: *const f32,
    vectors: [usize; N],
    value: impl Fn(usize) -> *const f32,
) {
    // SAFETY: reads only the row and the values that the caller vouches for.
    unsafe {
        let row = vectors.map(|offset| V::load(b.wrapping_add(offset), V::LANES));
        for (i, sums) in sums.iter_mut().enumerate() {
            let factor = V::splat(*value(i));
            for (sum, b) in sums.iter_mut().zip(row) {
                *sum = factor.mul_add(b, *sum);
            }
        }
    }
}

/// The loop where a row of A is contiguous.
///
/// # Safety
/// As for [`add_products`], with `a_col` 1 and `b_row` the tile's.
#[inline(always)]
unsafe fn dense_rows<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    t: &Tile,
    start: Start<N>,
    b_row: usize,
) {
    let Start { a, mut b, vectors } = start;
    // Every second row has its own pointer, hidden from the compiler, which would otherwise step from row to
    // row with one addition each.
    let mut pairs = [a; MR.div_ceil(2)];
    for (i, pair) in pairs.iter_mut().enumerate().take(R.div_ceil(2)) {
        *pair = std::hint::black_box(a.wrapping_add(2 * i * t.a_row));
    }
    let mut left = t.depth;
    // Loops and not closures: those would be compiled without the vectors' instruction set. SAFETY: the
    // pointers advance by as many values as `left` shrinks, so that all rows and k read are in the tile.
    unsafe {
        while left >= UNROLL {
            for k in 0..UNROLL {
                let value = |i: usize| pairs[i / 2].wrapping_add(i % 2 * t.a_row + k);
                add_row(sums, b.wrapping_add(k * b_row), vectors, value);
            }
            pairs = pairs.map(|pair| pair.wrapping_add(UNROLL));
            b = b.wrapping_add(UNROLL * b_row);
            left -= UNROLL;
        }
        for k in 0..left {
            let value = |i: usize| pairs[i / 2].wrapping_add(i % 2 * t.a_row + k);
            add_row(sums, b.wrapping_add(k * b_row), vectors, value);
        }
    }
}

/// The loop for any strides of A.
///
/// # Safety
/// As for [`add_products`], with `a_row` the tile's.
#[inline(always)]
unsafe fn strided<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    t: &Tile,
    start: Start<N>,
    a_row: usize,
) {
    let Start { mut a, mut b, vectors } = start;
    for _ in 0..t.depth {
        // SAFETY: `a` and `b` are at a k below the depth; a prefetch beyond the end of B does nothing.
        unsafe {
            for (v, &offset) in vectors.iter().enumerate() {
                if v * V::LANES % NR == 0 {
                    _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(AHEAD * t.b_row + offset).cast());
                }
            }
            add_row(sums, b, vectors, |i| a.wrapping_add(i * a_row));
        }
        a = a.wrapping_add(t.a_col);
        b = b.wrapping_add(t.b_row);
    }
}
