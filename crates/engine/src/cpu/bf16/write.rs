//! Writing sums to C, with what is added to them.

use super::kernel::SIDE;
use crate::cpu::operands::Target;
use multiversion::multiversion;

/// Values that are added to rows of a block.
#[derive(Clone, Copy)]
pub(super) enum Addend<'a> {
    Nothing,
    /// Rows this far apart.
    Rows(&'a [f32], usize),
    /// The contents of C.
    Itself,
}

/// `C = sums + bias + addend`: consecutive rows, up to 32 columns.
///
/// # Safety
/// The target must be valid for the rows and columns, and no other thread may access them meanwhile.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub(super) unsafe fn write_rows(
    sums: &[[f32; SIDE]],
    columns: usize,
    to: &Target,
    bias: &[f32; SIDE],
    addend: Addend<'_>,
) {
    for (i, sums) in sums.iter().enumerate() {
        // SAFETY: row i of those for which the caller vouches.
        let out = unsafe { std::slice::from_raw_parts_mut(to.at(i, 0).c, columns) };
        match addend {
            Addend::Nothing => row(out, sums, bias, None),
            Addend::Rows(data, distance) => row(out, sums, bias, Some(&data[i * distance..][..columns])),
            Addend::Itself => {
                let mut held = [0.0; SIDE];
                held[..columns].copy_from_slice(out);
                row(out, sums, bias, Some(&held[..columns]));
            }
        }
    }
}

/// `out = sums + bias + add` of up to 32 columns.
#[inline(always)]
fn row(out: &mut [f32], sums: &[f32; SIDE], bias: &[f32; SIDE], add: Option<&[f32]>) {
    // The usual case, all 32, without a loop's end to find.
    match (out.first_chunk_mut::<SIDE>(), add.map(|add| add.first_chunk::<SIDE>())) {
        (Some(out), None) => {
            for j in 0..SIDE {
                out[j] = sums[j] + bias[j];
            }
        }
        (Some(out), Some(Some(add))) => {
            for j in 0..SIDE {
                out[j] = sums[j] + bias[j] + add[j];
            }
        }
        _ => {
            for (j, out) in out.iter_mut().enumerate().take(SIDE) {
                *out = sums[j] + bias[j] + add.map_or(0.0, |add| add[j]);
            }
        }
    }
}

/// Up to 32 values of a bias, and zeros beyond.
pub(super) fn bias_of(bias: Option<&[f32]>, columns: usize) -> [f32; SIDE] {
    let mut values = [0.0; SIDE];
    if let Some(bias) = bias {
        values[..columns].copy_from_slice(&bias[..columns]);
    }
    values
}
