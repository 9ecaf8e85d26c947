//! Depthwise convolution, channels last: every channel has a filter of its own.
//!
//! One vector of channels of one output pixel at a time: its sum stays in a register while the taps
//! that lie inside the image are visited.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::kernels::{Size, Window};

/// `weight` is `[taps, channels]`; `out` has the size `os`.
pub fn depthwise(
    x: &[f32],
    xs: Size,
    window: &Window,
    weight: &[f32],
    bias: &[f32],
    out: &mut [f32],
    os: Size,
) {
    Arch::new().dispatch(Depthwise { x, xs, window, weight, bias, out, os });
}

struct Depthwise<'a> {
    x: &'a [f32],
    xs: Size,
    window: &'a Window,
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
    os: Size,
}

/// The taps that meet the image along one axis, for every output position: range of taps and the
/// coordinate under the first of them.
fn taps(window: &Window, axis: usize, from: usize, to: usize) -> Vec<(Range<usize>, usize)> {
    (0..to)
        .map(|o| {
            let mut inside =
                (0..window.kernel[axis]).filter_map(|t| window.source(axis, o, t, from).map(|at| (t, at)));
            let (first, at) = inside.next().unwrap_or((0, 0));
            let count = usize::from(window.source(axis, o, first, from).is_some()) + inside.count();
            (first..first + count, at)
        })
        .collect()
}

impl WithSimd for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, xs, window, weight, bias, out, os } = self;
        let channels = xs.c;
        let rows = taps(window, 0, xs.h, os.h);
        let columns = taps(window, 1, xs.w, os.w);
        let step = [window.dilation[0] * xs.w * channels, window.dilation[1] * channels];
        let whole = channels - channels % S::F32_LANES;
        for (y, (ky, row)) in rows.iter().enumerate() {
            for (x_at, (kx, column)) in columns.iter().enumerate() {
                let corner = (row * xs.w + column) * channels;
                let out = &mut out[(y * os.w + x_at) * channels..][..channels];
                for c in (0..channels).step_by(S::F32_LANES) {
                    let width = if c < whole { S::F32_LANES } else { channels - whole };
                    let mut sum = load(simd, &bias[c..c + width]);
                    for (i, ky) in ky.clone().enumerate() {
                        let mut at = corner + i * step[0] + c;
                        let mut tap = (ky * window.kernel[1] + kx.start) * channels + c;
                        for _ in kx.clone() {
                            let x = load(simd, &x[at..at + width]);
                            let w = load(simd, &weight[tap..tap + width]);
                            sum = simd.mul_add_e_f32s(x, w, sum);
                            at += step[1];
                            tap += channels;
                        }
                    }
                    simd.partial_store_f32s(&mut out[c..c + width], sum);
                }
            }
        }
    }
}

/// One vector from `values`, the rest of it zero where they are fewer.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values).0.first() {
        Some(whole) => *whole,
        None => simd.partial_load_f32s(values),
    }
}
