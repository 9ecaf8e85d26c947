//! 3x3 convolutions of stride 1 by Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016, section 4).
//!
//! A tile of 4x4 outputs needs 36 products per channel pair instead of 144. Three stages:
//!
//! ```text
//! input tiles 6x6 ──BᵀdB──▶ V [36][tiles, C] ──one matrix product per frequency──▶ M [36][tiles, O]
//!     ──AᵀmA + bias + shift + residual──▶ output tiles 4x4
//! ```
//! The filter's transform `U [36][C, O]` is four times its size and cheap to make beside the products of many tiles; for
//! few tiles it is most of the work, and may be kept (see `weight`).
//! While U fits the second-level cache a task takes a block of tiles through all stages; with a larger U all threads take a
//! chunk of tiles through each stage together, one frequency per task. Errors are about ten times those of a plain sum:
//! 1e-5 of the largest output.

use super::buffer::{Buffer, Pool};
use super::features;
use super::kernel::NR;
use super::packing::pack_columns;
use super::product::{Lhs, Panels, ProductEpilogue, Rhs, Size, Target, product_into};
use super::simd::{SimdKernel, Vector, with_widest};
use super::winograd_tiles::{InputTiles, OutputTiles};
use crate::WeightData;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

/// Outputs along a tile's side.
pub(super) const OUT: usize = 4;
/// Inputs along a tile's side, and frequencies along each axis.
pub(super) const IN: usize = 6;
pub(super) const FREQUENCIES: usize = IN * IN;
/// Values of U up to which a task runs its tiles through all stages (768 KiB).
const RESIDENT: usize = 192 << 10;

/// Values of V and M that one task keeps in the second-level cache.
fn block_values() -> usize {
    if features::large_cache() { 192 << 10 } else { 96 << 10 }
}

/// Values of V and M for each thread where all threads take a chunk of tiles through the stages together (4 MiB).
const SHARED: usize = 1 << 20;
/// Tiles of such a chunk at least.
const LEAST_TILES: usize = 256;

/// Beyond this size (16 MiB) U lies in memory, not in cache.
const CACHED: usize = 4 << 20;

/// Products of a value in the time that it takes to read it: of a U or a plain filter in cache, and of a larger one.
const READ: [usize; 2] = [30, 126];

/// A transformed filter U.
pub(super) struct Filter {
    data: Buffer,
    inputs: usize,
    outputs: usize,
    /// Values from one frequency to the next.
    plane: usize,
}

/// The distance of frequencies that hold `values` values each: an odd number of cache lines. The transforms walk
/// through all 36 at once; a power of two would put them on the same few sets of the cache.
pub(super) fn plane(values: usize) -> usize {
    const LINE: usize = 16;
    (values.div_ceil(LINE) | 1) * LINE
}

/// Whether a convolution of this kind and size is faster this way.
pub(super) fn suits(kernel: (usize, usize), stride: usize, grid: Grid<'_>, (i, o): (usize, usize)) -> bool {
    let read = READ[usize::from(FREQUENCIES * i * o > CACHED)];
    let positions = grid.samples * grid.out.0 * grid.out.1;
    // Products of a pair of channels, and reading what they need of the filter. Tiles may reach beyond small images.
    let (tiled, plain) = (FREQUENCIES * (grid.count() + read), 9 * (positions + read));
    kernel == (3, 3) && stride == 1 && i >= 16 && o >= 16 && tiled < plain
}

/// What a filter is made from.
pub(super) enum Taps<'a> {
    /// The panels of the plain product, `[9 * I][16]` each.
    Panels(&'a Panels),
    /// A weight as it lies in its file, `[O, I, 3, 3]`.
    Stored(&'a WeightData),
    /// The same for the input gradient: `[I, O, 3, 3]`, and the taps in reverse order.
    Flipped(&'a WeightData),
}

impl Filter {
    pub fn new(pool: &Arc<Pool>, taps: Taps<'_>, (inputs, outputs): (usize, usize)) -> Self {
        let count = outputs.div_ceil(NR);
        let plane = plane(count * inputs * NR);
        let mut data = Buffer::new(pool, FREQUENCIES * plane);
        let u = Target::new(&mut data, NR);
        let rows = 32.min(inputs);
        let parts = inputs.div_ceil(rows);
        (0..count * parts).into_par_iter().for_each(|task| {
            let (panel, first) = (task / parts, task % parts * rows);
            let rows = rows.min(inputs - first);
            let u = u.at(panel * inputs + first, 0);
            let transform = |weight: &[f32], tap, input| {
                assert!(weight.len() >= (8 * tap + (rows - 1) * input + 1) * NR, "weight too small");
                // SAFETY: each task writes its own rows of its own panel.
                unsafe { with_widest(FilterRows { weight, tap, input, rows, plane, u: &u }) }
            };
            match taps {
                Taps::Panels(panels) => transform(&panels.panel(panel)[first * NR..], inputs, 1),
                _ => with_scratch(9 * rows * NR, |block| {
                    let lanes = (panel * NR, NR.min(outputs - panel * NR));
                    taps.read((first, rows), lanes, block);
                    transform(block, 1, 9);
                }),
            }
        });
        Self { data, inputs, outputs, plane }
    }

    fn frequency(&self, f: usize) -> Rhs<'_> {
        let data = &self.data[f * self.plane..(f + 1) * self.plane];
        Rhs::Panels { data, depth: self.inputs, start: 0 }
    }
}

impl Taps<'_> {
    /// `[rows, 9][16]` of a stored weight: some inputs of up to 16 outputs.
    fn read(&self, (first, rows): (usize, usize), (lane, lanes): (usize, usize), block: &mut [f32]) {
        match self {
            Taps::Panels(_) => unreachable!("panels are read as they are"),
            Taps::Stored(data) => {
                let inputs = data.shape()[1];
                pack_columns(9 * rows, lanes, block, |j, values| {
                    data.widen_into(9 * ((lane + j) * inputs + first), values);
                });
            }
            Taps::Flipped(data) => {
                let mut line = [0.0; 9 * NR];
                for (row, out) in block.chunks_exact_mut(9 * NR).enumerate() {
                    let from = 9 * ((first + row) * data.shape()[1] + lane);
                    data.widen_into(from, &mut line[..9 * lanes]);
                    for (tap, out) in out.chunks_exact_mut(NR).rev().enumerate() {
                        for (j, value) in out.iter_mut().enumerate() {
                            *value = line[9 * j + tap];
                        }
                    }
                }
            }
        }
    }
}

/// Transforms some rows (inputs) of one panel (16 outputs).
struct FilterRows<'a> {
    weight: &'a [f32],
    /// Rows of the weight from tap to tap, and from input to input.
    tap: usize,
    input: usize,
    rows: usize,
    plane: usize,
    /// Where the first row of the first frequency goes.
    u: &'a Target,
}

impl SimdKernel for FilterRows<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for i in 0..self.rows {
            for lane in (0..NR).step_by(V::LANES) {
                // SAFETY: the weight's length was checked; the rest is the caller's promise.
                unsafe {
                    let tap = |y: usize, x: usize| {
                        let row = (3 * y + x) * self.tap + i * self.input;
                        V::load(self.weight.as_ptr().add(row * NR + lane), V::LANES)
                    };
                    // By columns (see `winograd_tiles::row`).
                    let half: [[V; IN]; 3] = [
                        filter_line([tap(0, 0), tap(1, 0), tap(2, 0)]),
                        filter_line([tap(0, 1), tap(1, 1), tap(2, 1)]),
                        filter_line([tap(0, 2), tap(1, 2), tap(2, 2)]),
                    ];
                    let [a, b, c] = &half;
                    let to = self.u.at(i, lane).c;
                    for y in 0..IN {
                        let line = filter_line([a[y], b[y], c[y]]);
                        for (x, value) in line.iter().enumerate() {
                            value.store(to.wrapping_add((y * IN + x) * self.plane), V::LANES);
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

    pub(super) fn count(&self) -> usize {
        self.samples * self.tiles().0 * self.tiles().1
    }

    /// Sample, and first output row and column, of a tile.
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
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
    let &Filter { inputs, outputs, .. } = filter;
    let count = grid.count();
    assert_eq!(y.len(), grid.samples * grid.out.0 * grid.out.1 * outputs, "result of another size");
    let target = Target::new(y, outputs);
    let threads = rayon::current_num_threads();
    let stages = Stages { grid, filter, target: &target, add };
    if filter.data.len() <= RESIDENT {
        let fitting = (block_values() / (FREQUENCIES * (inputs + outputs))).clamp(12, 96);
        let block = count.div_ceil(count.div_ceil(fitting).next_multiple_of(threads));
        (0..count.div_ceil(block)).into_par_iter().with_max_len(1).for_each(|task| {
            let first = task * block;
            let tiles = block.min(count - first);
            let slots = Slots::new(tiles, (inputs, outputs));
            with_scratch(slots.v_len() + slots.m_len(), |scratch| {
                let (v, m) = scratch.split_at_mut(slots.v_len());
                let (from, to) = (Target::new(v, inputs), Target::new(m, outputs));
                // SAFETY: V and M are this task's own, and each output tile belongs to one task.
                unsafe {
                    stages.input(first, 0, tiles, slots, &from);
                    (0..FREQUENCIES).for_each(|f| stages.multiply(f, v, 0..tiles, slots, &to));
                    stages.output(first, 0, tiles, slots, m);
                }
            });
        });
        return;
    }
    let chunk = chunk_tiles(count, (inputs, outputs), threads);
    let slots = Slots::new(chunk, (inputs, outputs));
    let mut v = Buffer::new(pool, slots.v_len());
    let mut m = Buffer::new(pool, slots.m_len());
    for first in (0..count).step_by(chunk) {
        // SAFETY: the chunk's output tiles are not anybody else's.
        unsafe { stages.together(first, chunk.min(count - first), slots, &mut v, &mut m) }
    }
}

/// Tiles that all threads take through the stages together: their V and M are to stay in the last cache, and U, which each
/// chunk reads, is to be worth reading.
fn chunk_tiles(count: usize, (inputs, outputs): (usize, usize), threads: usize) -> usize {
    let fitting = threads * SHARED / (FREQUENCIES * (inputs + outputs));
    count.div_ceil(count.div_ceil(fitting.max(LEAST_TILES)))
}

/// In how many parts the tiles of a frequency are dealt out: 36 tasks keep two threads busy, but not sixteen. Every part reads
/// the frequency's filter, so each costs a little.
fn parts_of_frequency(tiles: usize, threads: usize) -> usize {
    let most = (tiles / 24).clamp(1, 4);
    let effort = |parts: usize| {
        (FREQUENCIES * parts).div_ceil(threads) * (100 / parts + if parts > 1 { 5 } else { 0 })
    };
    (1..=most).min_by_key(|&parts| effort(parts)).unwrap_or(1)
}

/// How V and M lie in memory, 36 planes each.
#[derive(Clone, Copy)]
struct Slots {
    /// Values from one frequency to the next.
    v: usize,
    m: usize,
}

impl Slots {
    fn new(count: usize, (inputs, outputs): (usize, usize)) -> Self {
        Self { v: plane(count * inputs), m: plane(count * outputs) }
    }

    fn v_len(&self) -> usize {
        FREQUENCIES * self.v
    }

    fn m_len(&self) -> usize {
        FREQUENCIES * self.m
    }
}

/// The three stages, each on a run of tiles or a frequency. Unsafe, because tasks share what they write to.
struct Stages<'a> {
    grid: Grid<'a>,
    filter: &'a Filter,
    target: &'a Target,
    add: Addends<'a>,
}

impl Stages<'_> {
    /// `count` tiles from `first` on through all three stages, on all threads.
    unsafe fn together(&self, first: usize, count: usize, slots: Slots, v: &mut [f32], m: &mut [f32]) {
        let threads = rayon::current_num_threads();
        let (from, to) = (Target::new(v, self.filter.inputs), Target::new(m, self.filter.outputs));
        let block = count.div_ceil(4 * threads);
        let blocks = (0..count.div_ceil(block)).into_par_iter().with_max_len(1);
        let range = |task: usize| (task * block, block.min(count - task * block));
        blocks.clone().for_each(|task| {
            let (slot, tiles) = range(task);
            // SAFETY: each task writes its own tiles' rows of V.
            unsafe { self.input(first + slot, slot, tiles, slots, &from) }
        });
        let parts = parts_of_frequency(count, threads);
        let share = count.div_ceil(parts);
        let parts = count.div_ceil(share);
        (0..FREQUENCIES * parts).into_par_iter().with_max_len(1).for_each(|task| {
            let (f, part) = (task / parts, task % parts);
            let rows = part * share..count.min((part + 1) * share);
            // SAFETY: each task writes its own rows of its own frequency of M.
            unsafe { self.multiply(f, v, rows, slots, &to) }
        });
        blocks.for_each(|task| {
            let (slot, tiles) = range(task);
            // SAFETY: each output tile belongs to one task.
            unsafe { self.output(first + slot, slot, tiles, slots, m) }
        });
    }

    unsafe fn input(&self, tile: usize, slot: usize, count: usize, slots: Slots, v: &Target) {
        let (channels, plane) = (self.filter.inputs, slots.v);
        // SAFETY: the caller's promise.
        unsafe { with_widest(InputTiles { grid: self.grid, tile, slot, count, plane, channels, v }) }
    }

    /// `M[f] = V[f] U[f]`, some rows of it.
    unsafe fn multiply(&self, f: usize, v: &[f32], rows: Range<usize>, slots: Slots, m: &Target) {
        let filter = self.filter;
        let a = Lhs::dense(&v[f * slots.v + rows.start * filter.inputs..], filter.inputs);
        let size = Size { m: rows.len(), k: filter.inputs, n: filter.outputs };
        let m = m.at(rows.start, f * slots.m);
        // SAFETY: the caller's promise.
        unsafe { product_into(a, filter.frequency(f), size, &m, ProductEpilogue::default()) }
    }

    unsafe fn output(&self, tile: usize, slot: usize, count: usize, slots: Slots, m: &[f32]) {
        let (channels, plane, y) = (self.filter.outputs, slots.m, self.target);
        let tiles = OutputTiles { grid: self.grid, tile, slot, count, plane, channels, m, y, add: self.add };
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
