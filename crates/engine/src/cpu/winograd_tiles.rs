//! Winograd's transforms of image tiles, input and output, several channels at a time (see `winograd`).

use super::product::Target;
use super::simd::{SimdKernel, Vector};
use super::winograd::{Addends, FREQUENCIES, Grid, IN, OUT};

/// B^T of six values.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn input_line<V: Vector>([a, b, c, d, e, f]: [V; IN]) -> [V; IN] {
    // SAFETY: the caller's promise.
    unsafe {
        let (four, five, two) = (V::splat(-4.0), V::splat(-5.0), V::splat(2.0));
        let (even, odd) = (c.mul_add(four, e), b.mul_add(four, d));
        let (even2, odd2) = (e.sub(c), d.sub(b));
        let plus_four = V::splat(4.0);
        [
            a.mul_add(plus_four, c.mul_add(five, e)),
            even.add(odd),
            even.sub(odd),
            odd2.mul_add(two, even2),
            odd2.mul_add(V::splat(-2.0), even2),
            b.mul_add(plus_four, d.mul_add(five, f)),
        ]
    }
}

/// A^T of six values.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn output_line<V: Vector>([a, b, c, d, e, f]: [V; IN]) -> [V; OUT] {
    // SAFETY: the caller's promise.
    unsafe {
        let (p, q, r, s) = (b.add(c), b.sub(c), d.add(e), d.sub(e));
        [
            a.add(p).add(r),
            s.mul_add(V::splat(2.0), q),
            r.mul_add(V::splat(4.0), p),
            s.mul_add(V::splat(8.0), q.add(f)),
        ]
    }
}

/// Row `y` of a tile that is held by its six columns. (Tiles are made column by column, as array literals, and never moved: an
/// array that begins as zeros, or is iterated by value, is written to memory again as a whole.)
#[inline(always)]
pub(super) fn row<V: Copy, const N: usize>([a, b, c, d, e, f]: &[[V; N]; IN], y: usize) -> [V; IN] {
    [a[y], b[y], c[y], d[y], e[y], f[y]]
}

/// Writes V's row `slot` of all frequencies for each of a run of tiles.
pub(super) struct InputTiles<'a> {
    pub grid: Grid<'a>,
    /// First tile, and the slot it goes to.
    pub tile: usize,
    pub slot: usize,
    pub count: usize,
    /// Values from one frequency of V to the next.
    pub plane: usize,
    pub channels: usize,
    pub v: &'a Target,
}

impl SimdKernel for InputTiles<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for i in 0..self.count {
            // SAFETY: the caller's promise.
            unsafe { self.one::<V>(self.tile + i, self.slot + i) }
        }
    }
}

impl InputTiles<'_> {
    #[inline(always)]
    unsafe fn one<V: Vector>(&self, tile: usize, slot: usize) {
        let (grid, channels) = (self.grid, self.channels);
        let (sample, y0, x0) = grid.place(tile);
        let mut pixels = [[std::ptr::null::<f32>(); IN]; IN];
        for (y, row) in pixels.iter_mut().enumerate() {
            let y = (y0 + y) as isize - grid.top;
            for (x, pixel) in row.iter_mut().enumerate() {
                let x = (x0 + x) as isize - grid.left;
                if (0..grid.height as isize).contains(&y) && (0..grid.width as isize).contains(&x) {
                    let start = ((sample * grid.height + y as usize) * grid.width + x as usize) * channels;
                    *pixel = grid.data[start..start + channels].as_ptr();
                }
            }
        }
        for start in (0..channels).step_by(V::LANES) {
            let width = V::LANES.min(channels - start);
            // SAFETY: pixels hold `channels` values; the rest is the caller's promise.
            unsafe {
                let at = (&pixels, start, width);
                let half: [[V; IN]; IN] = [
                    input_line(pixels_of(at, 0)),
                    input_line(pixels_of(at, 1)),
                    input_line(pixels_of(at, 2)),
                    input_line(pixels_of(at, 3)),
                    input_line(pixels_of(at, 4)),
                    input_line(pixels_of(at, 5)),
                ];
                let to = self.v.at(slot, start).c;
                for y in 0..IN {
                    let line = input_line(row(&half, y));
                    for (x, value) in line.iter().enumerate() {
                        value.store(to.wrapping_add((y * IN + x) * self.plane), width);
                    }
                }
            }
        }
    }
}

/// A column of a tile of pixels, `width` channels from `start` on; zeros where there is none.
#[inline(always)]
pub(super) unsafe fn pixels_of<V: Vector, const N: usize>(
    (pixels, start, width): (&[[*const f32; N]; N], usize, usize),
    x: usize,
) -> [V; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut column = [V::splat(0.0); N];
        for (row, value) in pixels.iter().zip(&mut column) {
            if !row[x].is_null() {
                *value = V::load(row[x].add(start), width);
            }
        }
        column
    }
}

/// A column of a tile of frequencies, which lie `plane` apart.
#[inline(always)]
pub(super) unsafe fn frequencies_of<V: Vector>(
    (data, plane, width): (*const f32, usize, usize),
    x: usize,
) -> [V; IN] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut column = [V::splat(0.0); IN];
        for (y, value) in column.iter_mut().enumerate() {
            *value = V::load(data.add((y * IN + x) * plane), width);
        }
        column
    }
}

/// Writes a run of output tiles.
pub(super) struct OutputTiles<'a> {
    pub grid: Grid<'a>,
    pub tile: usize,
    pub slot: usize,
    pub count: usize,
    /// Values from one frequency of M to the next.
    pub plane: usize,
    pub channels: usize,
    pub m: &'a [f32],
    pub y: &'a Target,
    pub add: Addends<'a>,
}

impl SimdKernel for OutputTiles<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        assert!(self.m.len() >= FREQUENCIES * self.plane, "M too small");
        assert!(self.plane >= (self.slot + self.count) * self.channels, "planes of M overlap");
        for i in 0..self.count {
            // SAFETY: the caller's promise.
            unsafe { self.one::<V>(self.tile + i, self.slot + i) }
        }
    }
}

impl OutputTiles<'_> {
    #[inline(always)]
    unsafe fn one<V: Vector>(&self, tile: usize, slot: usize) {
        let (grid, channels) = (self.grid, self.channels);
        let (sample, y0, x0) = grid.place(tile);
        let (rows, columns) = (OUT.min(grid.out.0 - y0), OUT.min(grid.out.1 - x0));
        for start in (0..channels).step_by(V::LANES) {
            let width = V::LANES.min(channels - start);
            // SAFETY: slices are indexed, M was checked; the rest is the caller's promise.
            unsafe {
                let zero = V::splat(0.0);
                let part = |values: &[f32], row: usize| {
                    V::load(values[row * channels + start..row * channels + start + width].as_ptr(), width)
                };
                let mut base = self.add.bias.map_or(zero, |bias| part(bias, 0));
                if let Some(shift) = self.add.shift {
                    base = base.add(part(shift, sample));
                }
                let m = self.m.as_ptr().add(slot * channels + start);
                let at = (m, self.plane, width);
                let half: [[V; OUT]; IN] = [
                    output_line(frequencies_of(at, 0)),
                    output_line(frequencies_of(at, 1)),
                    output_line(frequencies_of(at, 2)),
                    output_line(frequencies_of(at, 3)),
                    output_line(frequencies_of(at, 4)),
                    output_line(frequencies_of(at, 5)),
                ];
                for i in 0..rows {
                    let line = output_line(row(&half, i));
                    for (j, value) in line.iter().enumerate().take(columns) {
                        let position = (sample * grid.out.0 + y0 + i) * grid.out.1 + x0 + j;
                        let mut value = value.add(base);
                        if let Some(residual) = self.add.residual {
                            value = value.add(part(residual, position));
                        }
                        let out = self.y.at(position, start).c;
                        if self.add.accumulate {
                            value = value.add(V::load(out, width));
                        }
                        value.store(out, width);
                    }
                }
            }
        }
    }
}
