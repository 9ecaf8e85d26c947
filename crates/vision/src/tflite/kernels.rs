//! The arithmetic of MediaPipe's operators, one image at a time, channels last.
//!
//! With channels last, a pointwise convolution is a matrix product over all pixels and a depthwise one a loop
//! over contiguous numbers; these take nearly all of the time. Kernels are single-threaded, since photographs
//! run in parallel. Loops over channels are compiled for each instruction set and selected at run time.

use multiversion::multiversion;

use super::matmul::Packed;

/// Activation fused into an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
}

impl Activation {
    /// Applies it in place.
    pub fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Relu => clamp(values, f32::INFINITY),
            Self::Relu6 => clamp(values, 6.0),
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn clamp(values: &mut [f32], high: f32) {
    values.iter_mut().for_each(|v| *v = v.max(0.0).min(high));
}

/// Height, width and channels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

/// The sliding window of a convolution or a pooling, `[vertical, horizontal]` each.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 2],
    /// Step between output positions.
    pub stride: [usize; 2],
    /// Step between taps.
    pub dilation: [usize; 2],
    /// Rows of zeros above and columns to the left.
    pub padding: [usize; 2],
}

impl Window {
    /// Input coordinate under tap `t` for output position `o`, if inside `0..size`.
    #[inline(always)]
    pub fn source(&self, axis: usize, o: usize, t: usize, size: usize) -> Option<usize> {
        (o * self.stride[axis] + t * self.dilation[axis])
            .checked_sub(self.padding[axis])
            .filter(|&at| at < size)
    }

    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }
}

/// Full convolution: `weight` is `[taps * input channels, output channels]`.
pub fn conv(x: &[f32], xs: Size, window: &Window, weight: &Packed, out: &mut [f32], os: Size) {
    if window.is_pointwise() {
        return weight.multiply(x, out);
    }
    // im2col for a tile of output pixels, small enough to stay in the cache.
    const TILE: usize = 128;
    let [kh, kw] = window.kernel;
    let k = kh * kw * xs.c;
    let mut rows = vec![0.0; TILE * k];
    for (tile, out) in out.chunks_mut(TILE * os.c).enumerate() {
        let count = out.len() / os.c;
        for (i, row) in rows.chunks_exact_mut(k).take(count).enumerate() {
            let (oy, ox) = ((tile * TILE + i) / os.w, (tile * TILE + i) % os.w);
            for (tap, cell) in row.chunks_exact_mut(xs.c).enumerate() {
                let y = window.source(0, oy, tap / kw, xs.h);
                let x_at = window.source(1, ox, tap % kw, xs.w);
                match (y, x_at) {
                    (Some(y), Some(x_at)) => {
                        let from = (y * xs.w + x_at) * xs.c;
                        cell.copy_from_slice(&x[from..from + xs.c]);
                    }
                    _ => cell.fill(0.0),
                }
            }
        }
        weight.multiply(&rows[..count * k], out);
    }
}

/// Max pooling; positions outside the image are ignored.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub fn max_pool(x: &[f32], xs: Size, window: &Window, out: &mut [f32], os: Size) {
    for (pixel, out) in out.chunks_exact_mut(os.c).enumerate() {
        out.fill(f32::NEG_INFINITY);
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let y = window.source(0, pixel / os.w, ky, xs.h);
                let x_at = window.source(1, pixel % os.w, kx, xs.w);
                if let (Some(y), Some(x_at)) = (y, x_at) {
                    let cell = &x[(y * xs.w + x_at) * xs.c..][..xs.c];
                    for (o, v) in out.iter_mut().zip(cell) {
                        *o = o.max(*v);
                    }
                }
            }
        }
    }
}

/// `values += other`
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub fn add(values: &mut [f32], other: &[f32]) {
    values.iter_mut().zip(other).for_each(|(v, o)| *v += o);
}

/// PReLU: `x` if positive, `slope * x` if negative, with a slope per channel.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub fn prelu(values: &mut [f32], slopes: &[f32]) {
    for pixel in values.chunks_exact_mut(slopes.len()) {
        for (v, s) in pixel.iter_mut().zip(slopes) {
            *v = v.max(0.0) + s * v.min(0.0);
        }
    }
}

/// Coordinate mapping of bilinear resizing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corners {
    /// `align_corners`: first and last positions coincide.
    Aligned,
    /// `half_pixel_centers`: pixel centres lie at half positions.
    HalfPixel,
    /// Neither: position 0 maps to position 0.
    Origin,
}

/// Bilinear resizing.
pub fn resize(x: &[f32], xs: Size, corners: Corners, out: &mut [f32], os: Size) {
    let places = |from: usize, to: usize| -> Vec<(usize, usize, f32)> {
        let scale = match corners {
            Corners::Aligned if to > 1 => (from - 1) as f32 / (to - 1) as f32,
            _ => from as f32 / to as f32,
        };
        (0..to)
            .map(|i| {
                let at = match corners {
                    Corners::HalfPixel => ((i as f32 + 0.5) * scale - 0.5).max(0.0),
                    _ => i as f32 * scale,
                };
                let low = (at as usize).min(from - 1);
                (low, (low + 1).min(from - 1), at - low as f32)
            })
            .collect()
    };
    blend(x, xs, &places(xs.h, os.h), &places(xs.w, os.w), out, os);
}

/// Neighbours before and after a position, and the weight of the second.
type Sample = (usize, usize, f32);

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn blend(x: &[f32], xs: Size, rows: &[Sample], columns: &[Sample], out: &mut [f32], os: Size) {
    for (pixel, out) in out.chunks_exact_mut(os.c).enumerate() {
        let (y0, y1, fy) = rows[pixel / os.w];
        let (x0, x1, fx) = columns[pixel % os.w];
        let cell = |y: usize, x_at: usize| &x[(y * xs.w + x_at) * xs.c..][..xs.c];
        let (a, b, c, d) = (cell(y0, x0), cell(y0, x1), cell(y1, x0), cell(y1, x1));
        for i in 0..out.len() {
            let top = a[i] + (b[i] - a[i]) * fx;
            let bottom = c[i] + (d[i] - c[i]) * fx;
            out[i] = top + (bottom - top) * fy;
        }
    }
}

/// Rearranges groups of channels into blocks of `block` x `block` pixels.
pub fn depth_to_space(x: &[f32], xs: Size, block: usize, out: &mut [f32], os: Size) {
    for (pixel, out) in out.chunks_exact_mut(os.c).enumerate() {
        let (y, x_at) = (pixel / os.w, pixel % os.w);
        let group = (y % block) * block + x_at % block;
        let from = ((y / block) * xs.w + x_at / block) * xs.c + group * os.c;
        out.copy_from_slice(&x[from..from + os.c]);
    }
}

/// Pads an image with zeros; `before` is the number of rows, columns and channels in front.
pub fn pad(x: &[f32], xs: Size, before: [usize; 3], out: &mut [f32], os: Size) {
    out.fill(0.0);
    for y in 0..xs.h {
        for x_at in 0..xs.w {
            let to = ((y + before[0]) * os.w + x_at + before[1]) * os.c + before[2];
            let from = (y * xs.w + x_at) * xs.c;
            out[to..to + xs.c].copy_from_slice(&x[from..from + xs.c]);
        }
    }
}

/// `out = weight x + bias`, `weight` being `[outputs, inputs]`.
pub fn fully_connected(x: &[f32], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    for (o, (result, row)) in out.iter_mut().zip(weight.chunks_exact(x.len())).enumerate() {
        let sum: f32 = row.iter().zip(x).map(|(w, v)| w * v).sum();
        *result = sum + bias.map_or(0.0, |b| b[o]);
    }
}
