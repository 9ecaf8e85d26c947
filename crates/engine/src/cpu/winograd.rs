//! 3x3 convolutions of stride 1 by Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016, section 4).
//!
//! A tile of 4x4 outputs needs 36 products per channel pair instead of 144. Three stages:
//!
//! ```text
//! input tiles 6x6 ──BᵀdB──▶ V [36][tiles, C] ──one matrix product per frequency──▶ M [36][tiles, O]
//!     ──AᵀmA + bias + shift + residual──▶ output tiles 4x4
//! ```
//! The filter's transform `U [36][C, O]` is four times its size, so it is only made for weights that are kept
//! or trained. While U fits the second-level cache a task takes a block of tiles through all stages; a larger
//! U is read once, one frequency per task. f32 errors are about ten times those of a plain sum: 1e-6 relative.

use super::buffer::{Buffer, Pool};
use super::kernel::NR;
use super::product::{Columns, Extra, Panels, Rows, Size, Target, product_into};
use multiversion::multiversion;
use rayon::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;

/// Outputs along a tile's side.
const OUT: usize = 4;
/// Inputs along a tile's side, and frequencies along each axis.
const IN: usize = 6;
const FREQUENCIES: usize = IN * IN;
/// Channels that are transformed together.
const CHUNK: usize = 16;
/// Values of V and M that one task keeps in cache (768 KiB), and of U beside them.
const RESIDENT: usize = 192 << 10;

/// A transformed filter.
pub(super) struct Filter {
    panels: Panels,
    inputs: usize,
    outputs: usize,
}

/// Whether a convolution is of the kind, and wide enough to be worth it.
pub(super) fn suits(kernel: (usize, usize), stride: usize, inputs: usize, outputs: usize) -> bool {
    kernel == (3, 3) && stride == 1 && inputs >= 16 && outputs >= 16
}

impl Filter {
    /// `element(o, values)` writes the nine taps of all inputs of output `o`, `[9][I]`.
    pub fn new(
        pool: &Arc<Pool>,
        (inputs, outputs): (usize, usize),
        taps: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let panels = Panels::from_columns_of(pool, FREQUENCIES, (inputs, outputs), |o, values| {
            let mut kernel = vec![0.0; 9 * inputs];
            taps(o, &mut kernel);
            for i in 0..inputs {
                let tap = |y: usize, x: usize| kernel[(3 * y + x) * inputs + i];
                let mut rows = [[0.0; 3]; IN];
                for x in 0..3 {
                    for (row, value) in rows.iter_mut().zip(filter_line([tap(0, x), tap(1, x), tap(2, x)])) {
                        row[x] = value;
                    }
                }
                for (y, row) in rows.into_iter().enumerate() {
                    for (x, value) in filter_line(row).into_iter().enumerate() {
                        values[(y * IN + x) * inputs + i] = value;
                    }
                }
            }
        });
        Self { panels, inputs, outputs }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    fn frequency(&self, f: usize) -> Columns<'_> {
        self.panels.group(f, FREQUENCIES, self.inputs, self.outputs)
    }

    fn size(&self) -> usize {
        FREQUENCIES * self.inputs * self.outputs.next_multiple_of(NR)
    }
}

/// G of a line of three taps.
fn filter_line([a, b, c]: [f32; 3]) -> [f32; IN] {
    [
        a / 4.0,
        -(a + b + c) / 6.0,
        -(a - b + c) / 6.0,
        a / 24.0 + b / 12.0 + c / 6.0,
        a / 24.0 - b / 12.0 + c / 6.0,
        c,
    ]
}

/// Images `[N, H, W, C]` and where the tiles lie on them.
#[derive(Clone, Copy)]
pub(super) struct Grid<'a> {
    pub data: &'a [f32],
    pub samples: usize,
    pub height: usize,
    pub width: usize,
    /// Zeros above and to the left of the image.
    pub top: isize,
    pub left: isize,
    /// Output height and width.
    pub out: (usize, usize),
}

impl Grid<'_> {
    fn tiles(&self) -> (usize, usize) {
        (self.out.0.div_ceil(OUT), self.out.1.div_ceil(OUT))
    }

    fn count(&self) -> usize {
        self.samples * self.tiles().0 * self.tiles().1
    }

    /// Sample, and first output row and column, of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.tiles();
        (tile / columns / rows, tile / columns % rows * OUT, tile % columns * OUT)
    }
}

/// What is added to the result.
#[derive(Clone, Copy, Default)]
pub(super) struct Addends<'a> {
    /// `[O]`.
    pub bias: Option<&'a [f32]>,
    /// `[N, O]`.
    pub shift: Option<&'a [f32]>,
    /// `[N, H', W', O]`.
    pub residual: Option<&'a [f32]>,
    /// Add to what y holds.
    pub accumulate: bool,
}

/// `y [N, H', W', O]`.
pub(super) fn convolve(pool: &Arc<Pool>, grid: Grid<'_>, filter: &Filter, y: &mut [f32], add: Addends<'_>) {
    let (inputs, outputs, count) = (filter.inputs, filter.outputs, grid.count());
    assert_eq!(y.len(), grid.samples * grid.out.0 * grid.out.1 * outputs, "result of another size");
    let target = Target::new(y, outputs);
    let threads = rayon::current_num_threads();
    let per_tile = FREQUENCIES * (inputs + outputs);
    if filter.size() <= RESIDENT {
        let fitting = (RESIDENT / per_tile).clamp(12, 96);
        let blocks = count.div_ceil(fitting).next_multiple_of(threads);
        let block = count.div_ceil(blocks);
        (0..count.div_ceil(block)).into_par_iter().with_max_len(1).for_each(|task| {
            let first = task * block;
            let tiles = block.min(count - first);
            with_scratch(block * per_tile, |scratch| {
                let (v, m) = scratch.split_at_mut(FREQUENCIES * tiles * inputs);
                let m = &mut m[..FREQUENCIES * tiles * outputs];
                let (from, to) = (Target::new(v, inputs), Target::new(m, outputs));
                for tile in 0..tiles {
                    // SAFETY: V is this task's own.
                    unsafe { transform_input(grid, first + tile, tile, tiles, inputs, &from) }
                }
                for f in 0..FREQUENCIES {
                    // SAFETY: V and M are this task's own.
                    unsafe { multiply(filter, f, v, tiles, &to) }
                }
                for tile in 0..tiles {
                    // SAFETY: each output tile belongs to one task.
                    unsafe { transform_output(grid, first + tile, tile, tiles, outputs, m, &target, add) }
                }
            });
        });
        return;
    }
    let mut v = Buffer::new(pool, FREQUENCIES * count * inputs);
    let mut m = Buffer::new(pool, FREQUENCIES * count * outputs);
    let (from, to) = (Target::new(&mut v, inputs), Target::new(&mut m, outputs));
    (0..count).into_par_iter().with_min_len(4).for_each(|tile| {
        // SAFETY: each task writes its own tile's rows of V.
        unsafe { transform_input(grid, tile, tile, count, inputs, &from) }
    });
    (0..FREQUENCIES).into_par_iter().with_max_len(1).for_each(|f| {
        // SAFETY: each task writes its own frequency of M.
        unsafe { multiply(filter, f, &v, count, &to) }
    });
    (0..count).into_par_iter().with_min_len(4).for_each(|tile| {
        // SAFETY: each output tile belongs to one task.
        unsafe { transform_output(grid, tile, tile, count, outputs, &m, &target, add) }
    });
}

/// `M[f] = V[f] U[f]`.
unsafe fn multiply(filter: &Filter, f: usize, v: &[f32], tiles: usize, m: &Target) {
    let a = Rows::dense(&v[f * tiles * filter.inputs..], filter.inputs);
    let size = Size { m: tiles, k: filter.inputs, n: filter.outputs };
    // SAFETY: the caller's promise.
    unsafe { product_into(a, filter.frequency(f), size, &m.at(f * tiles, 0), Extra::default()) }
}

fn with_scratch<T>(len: usize, run: impl FnOnce(&mut [f32]) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        run(&mut scratch[..len])
    })
}

type Lane = [f32; CHUNK];

/// B^T of six lines.
#[inline(always)]
fn input_line(d: &[Lane; IN]) -> [Lane; IN] {
    let mut t = [[0.0; CHUNK]; IN];
    for l in 0..CHUNK {
        let [a, b, c, d, e, f] = [d[0][l], d[1][l], d[2][l], d[3][l], d[4][l], d[5][l]];
        let (even, odd) = (e - 4.0 * c, d - 4.0 * b);
        let (even2, odd2) = (e - c, 2.0 * (d - b));
        t[0][l] = 4.0 * a - 5.0 * c + e;
        t[1][l] = even + odd;
        t[2][l] = even - odd;
        t[3][l] = even2 + odd2;
        t[4][l] = even2 - odd2;
        t[5][l] = 4.0 * b - 5.0 * d + f;
    }
    t
}

/// A^T of six lines.
#[inline(always)]
fn output_line(m: &[Lane; IN]) -> [Lane; OUT] {
    let mut t = [[0.0; CHUNK]; OUT];
    for l in 0..CHUNK {
        let [a, b, c, d, e, f] = [m[0][l], m[1][l], m[2][l], m[3][l], m[4][l], m[5][l]];
        let (p, q, r, s) = (b + c, b - c, d + e, d - e);
        t[0][l] = a + p + r;
        t[1][l] = q + 2.0 * s;
        t[2][l] = p + 4.0 * r;
        t[3][l] = q + 8.0 * s + f;
    }
    t
}

/// Writes V's rows `slot` of all frequencies for one tile.
///
/// # Safety
/// `v` must hold `[36][slots, C]`, and nobody else may touch this slot.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
unsafe fn transform_input(
    grid: Grid<'_>,
    tile: usize,
    slot: usize,
    slots: usize,
    channels: usize,
    v: &Target,
) {
    let (sample, y0, x0) = grid.place(tile);
    let pixel = |y: usize, x: usize| -> Option<&[f32]> {
        let (y, x) = ((y0 + y) as isize - grid.top, (x0 + x) as isize - grid.left);
        let inside = (0..grid.height as isize).contains(&y) && (0..grid.width as isize).contains(&x);
        inside.then(|| {
            let start = ((sample * grid.height + y as usize) * grid.width + x as usize) * channels;
            &grid.data[start..start + channels]
        })
    };
    let mut pixels = [[None; IN]; IN];
    for (y, row) in pixels.iter_mut().enumerate() {
        for (x, p) in row.iter_mut().enumerate() {
            *p = pixel(y, x);
        }
    }
    for start in (0..channels).step_by(CHUNK) {
        let width = CHUNK.min(channels - start);
        let mut half = [[[0.0; CHUNK]; IN]; IN];
        for x in 0..IN {
            let mut d = [[0.0; CHUNK]; IN];
            for (y, d) in d.iter_mut().enumerate() {
                if let Some(pixel) = pixels[y][x] {
                    match pixel[start..].first_chunk::<CHUNK>() {
                        Some(values) => *d = *values,
                        None => d[..width].copy_from_slice(&pixel[start..]),
                    }
                }
            }
            for (y, line) in input_line(&d).into_iter().enumerate() {
                half[y][x] = line;
            }
        }
        for (y, half) in half.iter().enumerate() {
            for (x, line) in input_line(half).iter().enumerate() {
                let out = v.at((y * IN + x) * slots + slot, start).c;
                // SAFETY: this slot's row of this frequency, `width` values from `start`.
                unsafe {
                    if width == CHUNK {
                        *(out as *mut Lane) = *line;
                    } else {
                        std::ptr::copy_nonoverlapping(line.as_ptr(), out, width);
                    }
                }
            }
        }
    }
}

/// Writes one output tile.
///
/// # Safety
/// `y` must hold `[N, H', W', O]`, and nobody else may touch this tile.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
unsafe fn transform_output(
    grid: Grid<'_>,
    tile: usize,
    slot: usize,
    slots: usize,
    channels: usize,
    m: &[f32],
    y: &Target,
    add: Addends<'_>,
) {
    let (sample, y0, x0) = grid.place(tile);
    let (rows, columns) = (OUT.min(grid.out.0 - y0), OUT.min(grid.out.1 - x0));
    for start in (0..channels).step_by(CHUNK) {
        let width = CHUNK.min(channels - start);
        let read = |values: &[f32]| -> Lane {
            let mut lane = [0.0; CHUNK];
            match values[start..].first_chunk::<CHUNK>() {
                Some(values) => lane = *values,
                None => lane[..width].copy_from_slice(&values[start..start + width]),
            }
            lane
        };
        let mut base = [0.0; CHUNK];
        if let Some(bias) = add.bias {
            base = read(&bias[..channels]);
        }
        if let Some(shift) = add.shift {
            let shift = read(&shift[sample * channels..(sample + 1) * channels]);
            for l in 0..CHUNK {
                base[l] += shift[l];
            }
        }
        let mut half = [[[0.0; CHUNK]; IN]; OUT];
        for x in 0..IN {
            let mut column = [[0.0; CHUNK]; IN];
            for (f, value) in column.iter_mut().enumerate() {
                let row = ((f * IN + x) * slots + slot) * channels;
                *value = read(&m[row..row + channels]);
            }
            for (i, line) in output_line(&column).into_iter().enumerate() {
                half[i][x] = line;
            }
        }
        for (i, half) in half.iter().enumerate().take(rows) {
            for (j, line) in output_line(half).iter().enumerate().take(columns) {
                let position = (sample * grid.out.0 + y0 + i) * grid.out.1 + x0 + j;
                let mut value = base;
                for l in 0..CHUNK {
                    value[l] += line[l];
                }
                if let Some(residual) = add.residual {
                    let residual = read(&residual[position * channels..(position + 1) * channels]);
                    for l in 0..CHUNK {
                        value[l] += residual[l];
                    }
                }
                // SAFETY: this tile's part of this position.
                let out = unsafe { std::slice::from_raw_parts_mut(y.at(position, start).c, width) };
                if add.accumulate {
                    for (value, old) in value.iter_mut().zip(out.iter()) {
                        *value += old;
                    }
                }
                match out.first_chunk_mut::<CHUNK>() {
                    Some(out) => *out = value,
                    None => out.copy_from_slice(&value[..width]),
                }
            }
        }
    }
}
