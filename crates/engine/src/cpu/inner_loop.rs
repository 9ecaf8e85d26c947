//! The loop over depth of tiles whose columns fill vectors, or may be read as if they did: R rows of N vectors, which stay in registers.
//!
//! A core that shares its units with another program's thread is short of instructions before it is short of multipliers, so
//! the loop has few of them: how A lies decides how its values are addressed.

use super::kernel::{MR, NR, Tile};
use super::simd::Vector;

/// Values of depth that are gone through in one go where rows of A lie dense.
const UNROLL: usize = 4;
/// Rows of B between the one in use and the one prefetched: in a matrix as stored, rows are too far apart for the
/// processor to predict.
const AHEAD: usize = 12;

/// Where a loop stands: A and B at the tile's place, and where the N vectors of a row of B lie from its start.
#[derive(Clone, Copy)]
pub(super) struct Place<const N: usize> {
    pub a: *const f32,
    pub b: *const f32,
    pub vectors: [usize; N],
}

/// Adds `A[i, k] B[k]` over all k of the tile to row i, in order of k.
///
/// # Safety
/// As for [`Vector`] and [`super::kernel::TileFn`]; all vectors of B can be read whole.
#[inline(always)]
pub(super) unsafe fn add_products<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    t: &Tile,
    place: Place<N>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if t.a_col != 1 {
            // Known to be neighbours, a column's values need no sums of addresses.
            return match t.a_row {
                1 => anywhere(sums, t, place, 1),
                a_row => anywhere(sums, t, place, a_row),
            };
        }
        match t.b_row {
            NR => dense_rows(sums, t, place, NR),
            b_row => dense_rows(sums, t, place, b_row),
        }
    }
}

/// `sums[i] += A[i] B` for one k, `value(i)` being where `A[i]` is.
#[inline(always)]
unsafe fn add_row<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    b: *const f32,
    vectors: [usize; N],
    value: impl Fn(usize) -> *const f32,
) {
    // SAFETY: the caller's promise.
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

/// Neighbours in a row of A are next to each other.
#[inline(always)]
unsafe fn dense_rows<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    t: &Tile,
    place: Place<N>,
    b_row: usize,
) {
    let Place { a, mut b, vectors } = place;
    // Each second row has a place of its own, hidden from the compiler, which would otherwise walk from row to row by
    // additions, one for each.
    let mut pairs = [a; MR.div_ceil(2)];
    for (i, pair) in pairs.iter_mut().enumerate().take(R.div_ceil(2)) {
        *pair = std::hint::black_box(a.wrapping_add(2 * i * t.a_row));
    }
    let mut left = t.depth;
    // Loops and not closures: those would not be compiled with the vectors' instructions.
    // SAFETY: the caller's promise.
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

/// A lies as it may.
#[inline(always)]
unsafe fn anywhere<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    t: &Tile,
    place: Place<N>,
    a_row: usize,
) {
    let Place { mut a, mut b, vectors } = place;
    for _ in 0..t.depth {
        // SAFETY: the caller's promise; asking for what is not there does nothing.
        unsafe {
            for (v, &offset) in vectors.iter().enumerate() {
                if v * V::LANES % NR == 0 {
                    V::prefetch(b.wrapping_add(AHEAD * t.b_row + offset));
                }
            }
            add_row(sums, b, vectors, |i| a.wrapping_add(i * a_row));
        }
        a = a.wrapping_add(t.a_col);
        b = b.wrapping_add(t.b_row);
    }
}
