//! Depthwise convolution, channels last.
//!
//! Computes one vector of channels of four neighbouring output pixels at a time, whose sums stay in registers
//! over all taps inside the image.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::kernels::{Size, Window};

/// `x` of size `xs` to `out` of size `os`; `weight` is `[taps, channels]`.
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

/// For every output position along one axis, the range of taps inside the image and the coordinate under the
/// first of them.
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
        // Columns for which every tap is inside the image, so that neighbours can be computed together.
        let all = 0..window.kernel[1];
        let first = columns.iter().position(|(kx, _)| *kx == all).unwrap_or(os.w);
        let last = columns.iter().rposition(|(kx, _)| *kx == all).map_or(first, |i| i + 1);
        for (y, (ky, row)) in rows.iter().enumerate() {
            let out = &mut out[y * os.w * channels..][..os.w * channels];
            for c in (0..channels).step_by(S::F32_LANES) {
                let width = S::F32_LANES.min(channels - c);
                let bias = load(simd, &bias[c..c + width]);
                let mut x_at = 0;
                while x_at < os.w {
                    let (kx, column) = &columns[x_at];
                    let corner = (row * xs.w + column) * channels + c;
                    let tap = (ky.start * window.kernel[1] + kx.start) * channels + c;
                    let area = Area {
                        x: &x[corner..],
                        weight: &weight[tap..],
                        taps: [ky.len(), kx.len()],
                        step,
                        weight_step: [window.kernel[1] * channels, channels],
                        next: window.stride[1] * channels,
                        width,
                    };
                    if x_at >= first && x_at + PIXELS <= last {
                        let sums = area.sums::<S, PIXELS>(simd, bias);
                        for sum in sums {
                            simd.partial_store_f32s(&mut out[x_at * channels + c..][..width], sum);
                            x_at += 1;
                        }
                    } else {
                        let [sum] = area.sums::<S, 1>(simd, bias);
                        simd.partial_store_f32s(&mut out[x_at * channels + c..][..width], sum);
                        x_at += 1;
                    }
                }
            }
        }
    }
}

/// Output pixels side by side that share the loads of the weights.
const PIXELS: usize = 4;

/// The image and the weights from the first tap on, for one vector of channels.
struct Area<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    taps: [usize; 2],
    step: [usize; 2],
    weight_step: [usize; 2],
    /// Distance from one output pixel's first tap to the next one's.
    next: usize,
    width: usize,
}

impl Area<'_> {
    #[inline(always)]
    fn sums<S: Simd, const P: usize>(&self, simd: S, bias: S::f32s) -> [S::f32s; P] {
        let mut sums = [bias; P];
        for ky in 0..self.taps[0] {
            for kx in 0..self.taps[1] {
                let w = load(
                    simd,
                    &self.weight[ky * self.weight_step[0] + kx * self.weight_step[1]..][..self.width],
                );
                let at = ky * self.step[0] + kx * self.step[1];
                for (p, sum) in sums.iter_mut().enumerate() {
                    let x = load(simd, &self.x[at + p * self.next..][..self.width]);
                    *sum = simd.mul_add_e_f32s(x, w, *sum);
                }
            }
        }
        sums
    }
}

/// Loads a vector from `values`, padded with zeros.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values).0.first() {
        Some(whole) => *whole,
        None => simd.partial_load_f32s(values),
    }
}
