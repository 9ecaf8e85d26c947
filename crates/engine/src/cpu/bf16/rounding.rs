//! Rounding to bfloat16, to nearest and to even.

use super::kernel::{GROUP, Line};
use crate::{DType, WeightData};
use multiversion::multiversion;
use std::cell::RefCell;

/// Rounds values, and fills up with zeros.
pub(super) fn round(values: &[f32], out: &mut [u16]) {
    let (out, beyond) = out.split_at_mut(values.len());
    beyond.fill(0);
    #[cfg(target_arch = "x86_64")]
    if crate::cpu::features::avx512_bf16() {
        // SAFETY: AVX512-BF16 was just detected.
        return unsafe { x86::round(values, out) };
    }
    by_integers(values, out);
}

/// Rounds a row of values to lines, whose last ones are filled up with zeros.
pub(super) fn round_row(values: &[f32], lines: &mut [Line]) {
    round(values, bytemuck::cast_slice_mut(lines));
}

/// Rounds two rows, and interleaves them: pairs of both rows' values, 16 of them a line, in every
/// `distance`-th line.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
pub(super) fn interleave(even: &[f32], odd: &[f32], lines: &mut [Line], distance: usize) {
    let (even, last_even) = even.as_chunks::<GROUP>();
    let (odd, last_odd) = odd.as_chunks::<GROUP>();
    let mut lines = lines.iter_mut().step_by(distance);
    for ((even, odd), line) in even.iter().zip(odd).zip(&mut lines) {
        for (j, pair) in line.0.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *pair = [rounded(even[j]), rounded(odd[j])];
        }
    }
    if let Some(line) = lines.next().filter(|_| !last_even.is_empty()) {
        for ((pair, &even), &odd) in line.0.as_chunks_mut::<2>().0.iter_mut().zip(last_even).zip(last_odd) {
            *pair = [rounded(even), rounded(odd)];
        }
    }
}

/// One value. A NaN stays one.
#[inline(always)]
fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    let nearest = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if value.is_nan() { (bits >> 16) as u16 | 0x40 } else { nearest }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn by_integers(values: &[f32], out: &mut [u16]) {
    for (out, &value) in out.iter_mut().zip(values) {
        *out = rounded(value);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::cpu::bf16::kernel::STEP;
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn round(values: &[f32], out: &mut [u16]) {
        let (whole, rest) = values.as_chunks::<STEP>();
        let (lines, end) = out[..values.len()].as_chunks_mut::<STEP>();
        for (line, values) in lines.iter_mut().zip(whole) {
            let (low, high) = values.split_at(STEP / 2);
            // SAFETY: 16 values are read twice, and 32 are written.
            unsafe {
                let pairs =
                    _mm512_cvtne2ps_pbh(_mm512_loadu_ps(high.as_ptr()), _mm512_loadu_ps(low.as_ptr()));
                let bits = std::mem::transmute::<__m512bh, __m512i>(pairs);
                _mm512_storeu_si512(line.as_mut_ptr().cast(), bits);
            }
        }
        let (first, second) = ((1_u32 << rest.len()) - 1, rest.len().saturating_sub(STEP / 2));
        // SAFETY: masked values are neither read nor written; an address beyond the end is not used.
        unsafe {
            let low = _mm512_maskz_loadu_ps(first as u16, rest.as_ptr());
            let high = rest.as_ptr().wrapping_add(STEP / 2);
            let high = _mm512_maskz_loadu_ps((1_u16 << second) - 1, high);
            let pairs = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_mask_storeu_epi16(end.as_mut_ptr().cast(), first, pairs);
        }
    }
}

/// Elements `start .. start + out.len()` of a stored weight: bfloat16 as it lies, other types rounded.
pub(super) fn stored_into(data: &WeightData, start: usize, out: &mut [u16]) {
    if data.dtype() == DType::BF16 {
        let bytes = &data.bytes()[2 * start..2 * (start + out.len())];
        for (out, &bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *out = u16::from_le_bytes(bytes);
        }
        return;
    }
    thread_local! {
        static WIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    // Taken out, since whoever reads the data may begin another job.
    let mut wide = WIDE.take();
    wide.resize(out.len().max(wide.len()), 0.0);
    data.widen_into(start, &mut wide[..out.len()]);
    for (out, &value) in out.iter_mut().zip(&wide) {
        *out = rounded(value);
    }
    WIDE.set(wide);
}

#[cfg(test)]
mod tests {
    use super::*;

    type Round = fn(&[f32], &mut [u16]);

    #[test]
    fn values_are_rounded_as_the_library_rounds_and_padded_with_zeros() {
        let mut values: Vec<f32> =
            (0..4000_u32).map(|i| f32::from_bits(i.wrapping_mul(0x0123_4567))).collect();
        values.extend([
            0.0,
            -0.0,
            1.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            1.0 + 1.0 / 256.0,
        ]);
        // Instructions take denormal values for zeros.
        values.retain(|value| !value.is_subnormal());
        for len in [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, values.len()] {
            let values = &values[..len];
            for round in [round as Round, by_integers] {
                let mut found = vec![0; len + 5];
                round(values, &mut found);
                let expected = values.iter().copied().chain([0.0; 5]);
                for (found, value) in found.into_iter().zip(expected) {
                    let expected = half::bf16::from_f32(value);
                    let found = half::bf16::from_bits(found);
                    assert!(
                        found == expected && found.is_sign_negative() == expected.is_sign_negative()
                            || found.is_nan() && expected.is_nan(),
                        "{value}: {found} {expected}"
                    );
                }
            }
        }
    }
}
