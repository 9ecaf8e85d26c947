//! The tile of C for AVX-512: 24 of the 32 registers hold sums.

use super::inner_loop::{Start, add_products};
use super::tile::{NR, Tile, WIDE};
use std::arch::x86_64::*;

/// See [`super::TileFn`].
///
/// # Safety
/// As there; the machine must have AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile(rows: usize, t: &Tile) {
    // SAFETY: the functions have this one's conditions, and their heights are `rows`; `wide` has more than 16
    // columns.
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

/// R rows of more than 16 columns: two registers a row, the second one masked. Not inlined: with all heights
/// in one function, every tile would start by computing addresses for all of them.
///
/// # Safety
/// As for [`tile`], with R rows and more than 16 columns.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn wide<const R: usize>(t: &Tile) {
    // SAFETY: R rows and the first 16 columns are in the tile, as are the lanes in the mask, whose number is
    // that of the further columns; AVX-512 neither reads nor writes masked lanes. Prefetching is a hint.
    unsafe {
        let mask: __mmask16 = (0xffff_ffffu32 >> (WIDE - t.columns) >> 16) as u16;
        let start = if t.bias.is_null() {
            [_mm512_setzero_ps(); 2]
        } else {
            [_mm512_loadu_ps(t.bias), _mm512_maskz_loadu_ps(mask, t.bias.add(16))]
        };
        let mut acc = [start; R];
        let (mut a, mut b) = (t.a, t.b);
        // C is read once per tile and is likely not in the cache: fetch it while the sums are computed.
        for i in 0..R {
            let c = t.c.add(i * t.c_row).cast::<i8>();
            _mm_prefetch::<_MM_HINT_ET0>(c);
            _mm_prefetch::<_MM_HINT_ET0>(c.add(64));
        }
        if t.columns == WIDE {
            add_products(&mut acc, t, Start { a, b, vectors: [0, t.b_next] });
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

/// R rows of at most 16 columns: one masked register a row.
///
/// # Safety
/// As for [`tile`], with R rows and at most 16 columns.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn narrow<const R: usize>(t: &Tile) {
    // SAFETY: R rows are in the tile, as are the lanes in the mask, whose number is that of the columns;
    // AVX-512 neither reads nor writes masked lanes.
    unsafe {
        let mask: __mmask16 = (0xffffu32 >> (NR - t.columns)) as u16;
        let start = if t.bias.is_null() { _mm512_setzero_ps() } else { _mm512_maskz_loadu_ps(mask, t.bias) };
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
