//! Pairs of bfloat16 values in f32-sized words: what AVX512-BF16 multiplies.
//!
//! A word holds two neighbours along the depth of a product, the first one in its low half. Values are rounded
//! to nearest even.

use super::product::Rows;
use multiversion::multiversion;
use std::cell::RefCell;

#[inline(always)]
fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // A NaN must stay one: rounding could carry its payload away.
    if value.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

/// Two values as a word.
#[inline(always)]
pub(super) fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(round(first) | round(second) << 16)
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma", "x86_64+avx2+fma"))]
fn pair_row(values: &[f32], words: &mut [f32]) {
    let (pairs, rest) = values.as_chunks::<2>();
    for (word, [first, second]) in words.iter_mut().zip(pairs) {
        *word = pair(*first, *second);
    }
    if let ([last], Some(word)) = (rest, words.last_mut()) {
        *word = pair(*last, 0.0);
    }
}

/// Calls `run` with the rows of A, `[m, k]`, as words `[m, ceil(k / 2)]`.
pub(super) fn with_pairs(a: Rows<'_>, m: usize, k: usize, run: impl FnOnce(&[f32])) {
    thread_local! {
        static WORDS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    assert_eq!(a.col, 1, "rows of A must be contiguous to be paired");
    let depth = k.div_ceil(2);
    WORDS.with_borrow_mut(|words| {
        words.resize((m * depth).max(words.len()), 0.0);
        for (i, words) in words[..m * depth].chunks_exact_mut(depth.max(1)).enumerate() {
            pair_row(&a.data[i * a.row..i * a.row + k], words);
        }
        run(&words[..m * depth]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_nearest_even_and_packed_low_half_first() {
        for value in [0.0f32, 1.0, -1.5, 2.7, 1e-20, f32::MAX, f32::INFINITY, 257.0 / 256.0, 259.0 / 256.0] {
            let word = pair(value, -value).to_bits();
            assert_eq!(word as u16, half::bf16::from_f32(value).to_bits(), "{value}");
            assert_eq!((word >> 16) as u16, half::bf16::from_f32(-value).to_bits(), "-{value}");
        }
        assert!(half::bf16::from_bits(pair(f32::NAN, 0.0).to_bits() as u16).is_nan());
    }
}
