//! 3x3 convolutions of stride 1 by Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016, section 4).
//!
//! A tile of 4x4 outputs needs 36 products per channel pair instead of 144. Three stages:
//!
//! ```text
//! input tiles 6x6 ──BᵀdB──▶ V [36][tiles, C] ──one matrix product per frequency──▶ M [36][tiles, O]
//!     ──AᵀmA + bias + shift + residual──▶ output tiles 4x4
//! ```
//! The filter's transform `U [36][C, O]` is four times its size and cheap to make, so it is made at every use.
//! While U fits the second-level cache a task takes a block of tiles through all stages; a larger U is read
//! once, one frequency per task. Errors are about ten times those of a plain sum: 1e-5 of the largest output.

use super::buffer::{Buffer, Pool};
use super::kernel::NR;
use super::product::{Columns, Extra, Panels, Rows, Size, Target, product_into};
use super::simd::{Kernel, Vector, with_widest};
use rayon::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;

/// Outputs along a tile's side.
const OUT: usize = 4;
/// Inputs along a tile's side, and frequencies along each axis.
const IN: usize = 6;
const FREQUENCIES: usize = IN * IN;
/// Values of V and M that one task keeps in cache (768 KiB), and of U beside them.
const RESIDENT: usize = 192 << 10;

/// Beyond this size (16 MiB) U lies in memory, not in cache, and pays only for many tiles.
const CACHED: usize = 4 << 20;

/// A transformed filter U.
struct Filter {
    data: Buffer,
    inputs: usize,
    outputs: usize,
}

/// Whether a convolution of this kind and size is faster this way.
pub(super) fn suits(kernel: (usize, usize), stride: usize, grid: Grid<'_>, (i, o): (usize, usize)) -> bool {
    let tiles = if FREQUENCIES * i * o <= CACHED { 8 } else { 32 };
    kernel == (3, 3) && stride == 1 && i >= 16 && o >= 16 && grid.count() >= tiles
}

impl Filter {
    /// From the panels of the plain product, `[9 * I][32]` each.
    fn new(pool: &Arc<Pool>, panels: &Panels, (inputs, outputs): (usize, usize)) -> Self {
        let count = outputs.div_ceil(NR);
        let mut data = Buffer::new(pool, FREQUENCIES * count * inputs * NR);
        let u = Target::new(&mut data, NR);
        let rows = 32.min(inputs);
        let parts = inputs.div_ceil(rows);
        (0..count * parts).into_par_iter().for_each(|task| {
            let (panel, first) = (task / parts, task % parts * rows);
            let rows = first..(first + rows).min(inputs);
            let weight = &panels.panel(panel)[..9 * inputs * NR];
            // SAFETY: each task writes its own rows of its own panel.
            unsafe { with_widest(FilterRows { weight, inputs, rows, panel, panels: count, u: &u }) }
        });
        Self { data, inputs, outputs }
    }

    fn frequency(&self, f: usize) -> Columns<'_> {
        let size = self.data.len() / FREQUENCIES;
        Columns::Panels { data: &self.data[f * size..(f + 1) * size], depth: self.inputs, start: 0 }
    }
}

/// Transforms some rows (inputs) of one panel (32 outputs).
struct FilterRows<'a> {
    weight: &'a [f32],
    inputs: usize,
    rows: std::ops::Range<usize>,
    panel: usize,
    panels: usize,
    u: &'a Target,
}

impl Kernel for FilterRows<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for i in self.rows {
            for lane in (0..NR).step_by(V::LANES) {
                // SAFETY: the weight holds nine rows of every input; the rest is the caller's promise.
                unsafe {
                    let tap = |y: usize, x: usize| {
                        let row = (3 * y + x) * self.inputs + i;
                        V::load(self.weight.as_ptr().add(row * NR + lane), V::LANES)
                    };
                    let mut half = [[V::splat(0.0); 3]; IN];
                    for x in 0..3 {
                        for (row, value) in
                            half.iter_mut().zip(filter_line([tap(0, x), tap(1, x), tap(2, x)]))
                        {
                            row[x] = value;
                        }
                    }
                    for (y, row) in half.into_iter().enumerate() {
                        for (x, value) in filter_line(row).into_iter().enumerate() {
                            let row = ((y * IN + x) * self.panels + self.panel) * self.inputs + i;
                            value.store(self.u.at(row, lane).c, V::LANES);
                        }
                    }
                }
            }
        }
    }
}

/// G of a line of three taps.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn filter_line<V: Vector>([a, b, c]: [V; 3]) -> [V; IN] {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = V::splat(0.0);
        let times = |v: V, factor: f32| v.mul_add(V::splat(factor), zero);
        let outer = times(a.add(c), -1.0 / 6.0);
        let (middle, near) = (times(b, 1.0 / 6.0), times(b, 1.0 / 12.0));
        let far = a.mul_add(V::splat(1.0 / 24.0), times(c, 1.0 / 6.0));
        [times(a, 0.25), outer.sub(middle), outer.add(middle), far.add(near), far.sub(near), c]
    }
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

/// `y [N, H', W', O]` with the filter in the panels of the plain product.
pub(super) fn convolve(
    pool: &Arc<Pool>,
    grid: Grid<'_>,
    panels: &Panels,
    (inputs, outputs): (usize, usize),
    y: &mut [f32],
    add: Addends<'_>,
) {
    let filter = &Filter::new(pool, panels, (inputs, outputs));
    let count = grid.count();
    assert_eq!(y.len(), grid.samples * grid.out.0 * grid.out.1 * outputs, "result of another size");
    let target = Target::new(y, outputs);
    let threads = rayon::current_num_threads();
    let per_tile = FREQUENCIES * (inputs + outputs);
    let stages = Stages { grid, filter, target: &target, add };
    if filter.data.len() <= RESIDENT {
        let fitting = (RESIDENT / per_tile).clamp(12, 96);
        let block = count.div_ceil(count.div_ceil(fitting).next_multiple_of(threads));
        (0..count.div_ceil(block)).into_par_iter().with_max_len(1).for_each(|task| {
            let first = task * block;
            let tiles = block.min(count - first);
            with_scratch(tiles * per_tile, |scratch| {
                let (v, m) = scratch.split_at_mut(FREQUENCIES * tiles * inputs);
                let (from, to) = (Target::new(v, inputs), Target::new(m, outputs));
                // SAFETY: V and M are this task's own, and each output tile belongs to one task.
                unsafe {
                    stages.input(first, 0, tiles, tiles, &from);
                    (0..FREQUENCIES).for_each(|f| stages.multiply(f, v, tiles, &to));
                    stages.output(first, 0, tiles, tiles, m);
                }
            });
        });
        return;
    }
    let mut v = Buffer::new(pool, FREQUENCIES * count * inputs);
    let mut m = Buffer::new(pool, FREQUENCIES * count * outputs);
    let (from, to) = (Target::new(&mut v, inputs), Target::new(&mut m, outputs));
    let block = count.div_ceil(4 * threads);
    let blocks = count.div_ceil(block);
    let range = |task: usize| (task * block, block.min(count - task * block));
    (0..blocks).into_par_iter().with_max_len(1).for_each(|task| {
        let (first, tiles) = range(task);
        // SAFETY: each task writes its own tiles' rows of V.
        unsafe { stages.input(first, first, tiles, count, &from) }
    });
    (0..FREQUENCIES).into_par_iter().with_max_len(1).for_each(|f| {
        // SAFETY: each task writes its own frequency of M.
        unsafe { stages.multiply(f, &v, count, &to) }
    });
    (0..blocks).into_par_iter().with_max_len(1).for_each(|task| {
        let (first, tiles) = range(task);
        // SAFETY: each output tile belongs to one task.
        unsafe { stages.output(first, first, tiles, count, &m) }
    });
}

/// The three stages, each on a run of tiles or a frequency. Unsafe, because tasks share what they write to.
struct Stages<'a> {
    grid: Grid<'a>,
    filter: &'a Filter,
    target: &'a Target,
    add: Addends<'a>,
}

impl Stages<'_> {
    unsafe fn input(&self, tile: usize, slot: usize, count: usize, slots: usize, v: &Target) {
        let channels = self.filter.inputs;
        // SAFETY: the caller's promise.
        unsafe { with_widest(InputTiles { grid: self.grid, tile, slot, count, slots, channels, v }) }
    }

    /// `M[f] = V[f] U[f]`.
    unsafe fn multiply(&self, f: usize, v: &[f32], slots: usize, m: &Target) {
        let filter = self.filter;
        let a = Rows::dense(&v[f * slots * filter.inputs..], filter.inputs);
        let size = Size { m: slots, k: filter.inputs, n: filter.outputs };
        // SAFETY: the caller's promise.
        unsafe { product_into(a, filter.frequency(f), size, &m.at(f * slots, 0), Extra::default()) }
    }

    unsafe fn output(&self, tile: usize, slot: usize, count: usize, slots: usize, m: &[f32]) {
        let (channels, y) = (self.filter.outputs, self.target);
        let tiles = OutputTiles { grid: self.grid, tile, slot, count, slots, channels, m, y, add: self.add };
        // SAFETY: the caller's promise.
        unsafe { with_widest(tiles) }
    }
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

/// Writes V's row `slot` of all frequencies for each of a run of tiles.
struct InputTiles<'a> {
    grid: Grid<'a>,
    /// First tile, and the slot it goes to.
    tile: usize,
    slot: usize,
    count: usize,
    /// Rows of V per frequency.
    slots: usize,
    channels: usize,
    v: &'a Target,
}

impl Kernel for InputTiles<'_> {
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
                let zero = V::splat(0.0);
                let mut half = [[zero; IN]; IN];
                for x in 0..IN {
                    let mut column = [zero; IN];
                    for (row, value) in pixels.iter().zip(&mut column) {
                        if !row[x].is_null() {
                            *value = V::load(row[x].add(start), width);
                        }
                    }
                    for (row, value) in half.iter_mut().zip(input_line(column)) {
                        row[x] = value;
                    }
                }
                for (y, row) in half.into_iter().enumerate() {
                    for (x, value) in input_line(row).into_iter().enumerate() {
                        value.store(self.v.at((y * IN + x) * self.slots + slot, start).c, width);
                    }
                }
            }
        }
    }
}

/// Writes a run of output tiles.
struct OutputTiles<'a> {
    grid: Grid<'a>,
    tile: usize,
    slot: usize,
    count: usize,
    slots: usize,
    channels: usize,
    m: &'a [f32],
    y: &'a Target,
    add: Addends<'a>,
}

impl Kernel for OutputTiles<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        assert!(self.m.len() >= FREQUENCIES * self.slots * self.channels, "M too small");
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
                let mut half = [[zero; IN]; OUT];
                for x in 0..IN {
                    let mut column = [zero; IN];
                    for (f, value) in column.iter_mut().enumerate() {
                        let row = (f * IN + x) * self.slots + slot;
                        *value = V::load(self.m.as_ptr().add(row * channels + start), width);
                    }
                    for (row, value) in half.iter_mut().zip(output_line(column)) {
                        row[x] = value;
                    }
                }
                for (i, row) in half.into_iter().enumerate().take(rows) {
                    for (j, value) in output_line(row).into_iter().enumerate().take(columns) {
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
