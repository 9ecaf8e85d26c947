//! Winograd's transforms of image tiles, input and output, several channels at a time (see `winograd`).

use super::grid::{Addends, FREQUENCIES, Grid, IN, OUT};
use crate::cpu::operands::Target;
use crate::cpu::simd::{SimdKernel, Vector};

/// B^T of six values.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn input_line<V: Vector>([a, b, c, d, e, f]: [V; IN]) -> [V; IN] {
    // SAFETY: arithmetic alone; the caller has enabled the instruction set.
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
    // SAFETY: arithmetic alone; the caller has enabled the instruction set.
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

/// Row `y` of a tile stored as six columns. (Tiles are made column by column, as array literals, and never
/// moved: the compiler writes an array that starts as zeros, or is iterated by value, to memory as a whole.)
#[inline(always)]
pub(super) fn row<V: Copy, const N: usize>([a, b, c, d, e, f]: &[[V; N]; IN], y: usize) -> [V; IN] {
    [a[y], b[y], c[y], d[y], e[y], f[y]]
}

/// Transforms a run of input tiles to rows of V, in all frequencies. To run it, V must have these rows, and
/// no other thread may access them.
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
            // SAFETY: one of the tiles and slots that this kernel was given.
            unsafe { self.one::<V>(self.tile + i, self.slot + i) }
        }
    }
}

impl InputTiles<'_> {
    /// Transforms one tile.
    ///
    /// # Safety
    /// As for [`Vector`]; V must have this slot, and no other thread may access it.
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
            // SAFETY: pixels are null or hold `channels` values, of which `start + width` are used; the
            // slot's row of every plane is in V.
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

/// A column of a tile of pixels, `width` channels from `start` on; zeros for null pixels.
///
/// # Safety
/// As for [`Vector`]; other pixels must have `start + width` values.
#[inline(always)]
pub(super) unsafe fn pixels_of<V: Vector, const N: usize>(
    (pixels, start, width): (&[[*const f32; N]; N], usize, usize),
    x: usize,
) -> [V; N] {
    // SAFETY: pixels that are not null have the values read.
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

/// A column of a tile of frequencies, which are `plane` values apart.
///
/// # Safety
/// As for [`Vector`]; `width` values must be readable in every plane from `data` on.
#[inline(always)]
pub(super) unsafe fn frequencies_of<V: Vector>(
    (data, plane, width): (*const f32, usize, usize),
    x: usize,
) -> [V; IN] {
    // SAFETY: `y * IN + x` is below the number of planes.
    unsafe {
        let mut column = [V::splat(0.0); IN];
        for (y, value) in column.iter_mut().enumerate() {
            *value = V::load(data.add((y * IN + x) * plane), width);
        }
        column
    }
}

/// Transforms rows of M to a run of output tiles. To run it, the tiles must lie in y, and no other thread may
/// access them.
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
            // SAFETY: one of the tiles that this kernel was given; its slot is in M, whose length was
            // checked.
            unsafe { self.one::<V>(self.tile + i, self.slot + i) }
        }
    }
}

impl OutputTiles<'_> {
    /// Transforms one tile.
    ///
    /// # Safety
    /// As for [`Vector`]; M must hold this slot, and the tile must lie in y, where no other thread may access
    /// it.
    #[inline(always)]
    unsafe fn one<V: Vector>(&self, tile: usize, slot: usize) {
        let (grid, channels) = (self.grid, self.channels);
        let (sample, y0, x0) = grid.place(tile);
        let (rows, columns) = (OUT.min(grid.out.0 - y0), OUT.min(grid.out.1 - x0));
        for start in (0..channels).step_by(V::LANES) {
            let width = V::LANES.min(channels - start);
            // SAFETY: addends are slices and indexed; M holds the slot's row in every plane; `rows` and
            // `columns` keep the outputs written inside this tile and the image.
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
