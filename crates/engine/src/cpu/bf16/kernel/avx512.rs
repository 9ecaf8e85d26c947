//! The block by AVX512-BF16: every `vdpbf16ps` multiplies a pair of a row with the pairs of 16 columns.

use super::block::{Block, GROUP, SIDE};
use std::arch::x86_64::*;

/// Rows whose sums are in registers at a time: of two panels, 16 of the 32 registers.
const ROWS: usize = 8;

/// Computes a block.
///
/// # Safety
/// As for [`super::BlockFn`]; the machine must have AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn block(t: &Block) {
    for group in 0..t.groups {
        for first in (0..GROUP).step_by(ROWS) {
            // SAFETY: these rows are in the group, for which the caller vouches.
            unsafe {
                match t.panels {
                    1 => rows::<1>(t, group, first),
                    _ => rows::<2>(t, group, first),
                }
            }
        }
    }
}

/// Some rows of a group, N panels.
///
/// # Safety
/// As for [`block`]; the block must have these rows and panels.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn rows<const N: usize>(t: &Block, group: usize, first: usize) {
    // SAFETY: rows, steps and panels are those of the block, for which the caller vouches; a pair is four
    // bytes of a line.
    unsafe {
        let out = (&raw mut (*t.sums).0).cast::<f32>().add((group * GROUP + first) * SIDE);
        let mut sums = [[_mm512_setzero_ps(); N]; ROWS];
        if t.accumulate {
            for (i, row) in sums.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    *sum = _mm512_load_ps(out.add(i * SIDE + j * GROUP));
                }
            }
        }
        // Every second row has its own pointer, hidden from the compiler, which would otherwise step from row
        // to row with one addition each.
        let mut pairs = [t.a[group]; ROWS / 2];
        for (i, pair) in pairs.iter_mut().enumerate() {
            *pair = std::hint::black_box(t.a[group].add((first + 2 * i) * t.a_row));
        }
        let mut b = t.b;
        for step in 0..t.steps {
            for pair in 0..GROUP {
                let mut columns = [_mm512_setzero_si512(); N];
                for (j, columns) in columns.iter_mut().enumerate() {
                    *columns = _mm512_load_si512(b.add(j * t.b_next).cast());
                }
                b = b.wrapping_add(1);
                for (i, row) in sums.iter_mut().enumerate() {
                    let line = pairs[i / 2].add(i % 2 * t.a_row + step).cast::<i32>();
                    let a = _mm512_set1_epi32(*line.add(pair));
                    for (sum, &columns) in row.iter_mut().zip(&columns) {
                        *sum = _mm512_dpbf16_ps(*sum, as_pairs(a), as_pairs(columns));
                    }
                }
            }
        }
        for (i, row) in sums.iter().enumerate() {
            for (j, &sum) in row.iter().enumerate() {
                _mm512_store_ps(out.add(i * SIDE + j * GROUP), sum);
            }
        }
    }
}

/// The same bits as pairs of bfloat16.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn as_pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both types are 64 bytes of which every pattern is valid.
    unsafe { std::mem::transmute(bits) }
}

/// A loop of `steps` products of pairs in each of 16 registers, for measuring their rate; the number of
/// operations in it.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn rate(steps: usize) -> usize {
    const CHAINS: usize = 16;
    let mut chains = [_mm512_setzero_ps(); CHAINS];
    let pairs = as_pairs(std::hint::black_box(_mm512_set1_epi32(0x3c00_3c00)));
    for _ in 0..steps {
        for chain in &mut chains {
            *chain = _mm512_dpbf16_ps(*chain, pairs, pairs);
        }
    }
    std::hint::black_box(chains);
    steps * CHAINS * 2 * 2 * GROUP
}
