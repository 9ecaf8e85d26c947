//! 3x3 convolutions of stride 1 by Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016, section 4).
//!
//! A tile of 4x4 outputs needs 36 products per channel pair instead of 144. Three stages:
//!
//! ```text
//! input tiles 6x6 ──BᵀdB──▶ V [36][tiles, C] ──one matrix product per frequency──▶ M [36][tiles, O]
//!     ──AᵀmA + bias + shift + residual──▶ output tiles 4x4
//! ```
//! The filter's transform `U [36][C, O]` is four times its size. It is cheap next to the products of many
//! tiles; for few tiles it is most of the work, and may be cached (see `weight`). While U fits the
//! second-level cache a task takes a block of tiles through all stages; with a larger U all threads take a
//! chunk of tiles through each stage together, one frequency per task. Errors are about ten times those of a
//! plain sum: 1e-5 of the largest output.

mod filter;
mod gradient;
mod grid;
mod tiles;

use super::buffer::{Buffer, Pool};
use super::features;
use super::operands::{Lhs, ProductEpilogue, Size, Target};
use super::product::product_into;
use super::scratch::with_scratch;
use super::simd::with_widest;
pub(super) use filter::{Filter, Taps};
pub(super) use gradient::{gradient, suits_gradient};
use grid::plane;
pub(super) use grid::{Addends, FREQUENCIES, Grid};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use tiles::{InputTiles, OutputTiles};

/// Values of U up to which a task runs its tiles through all stages (768 KiB).
const RESIDENT: usize = 192 << 10;

/// Values of V and M that fit one task's second-level cache.
fn block_values() -> usize {
    if features::large_cache() { 192 << 10 } else { 96 << 10 }
}

/// Values of V and M per thread where all threads take a chunk of tiles through the stages together (4 MiB).
const SHARED: usize = 1 << 20;
/// Minimum tiles of such a chunk.
const LEAST_TILES: usize = 256;

/// Size beyond which U is in memory, not in the cache (16 MiB).
const CACHED: usize = 4 << 20;

/// Multiply-adds in the time that it takes to read a value of the filter: in the cache, and in memory.
const READ: [usize; 2] = [30, 126];

/// True if this method is faster for a convolution of this kind and size.
pub(super) fn suits(kernel: (usize, usize), stride: usize, grid: Grid<'_>, (i, o): (usize, usize)) -> bool {
    let read = READ[usize::from(FREQUENCIES * i * o > CACHED)];
    let positions = grid.samples * grid.out.0 * grid.out.1;
    // Cost for a pair of channels: products, and reading the filter. Tiles may extend beyond small images.
    let (tiled, plain) = (FREQUENCIES * (grid.count() + read), 9 * (positions + read));
    kernel == (3, 3) && stride == 1 && i >= 16 && o >= 16 && tiled < plain
}

/// The convolution, written to `y [N, H', W', O]`.
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
                // SAFETY: V and M are this task's own and as long as its slots need; each output tile belongs
                // to one task and lies in y, whose length was checked.
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
        // SAFETY: V and M have slots for a chunk; chunks go one after the other, and their tiles lie in y.
        unsafe { stages.together(first, chunk.min(count - first), slots, &mut v, &mut m) }
    }
}

/// Number of tiles that all threads take through the stages together: few enough that V and M stay in the
/// last-level cache, and enough to pay for reading U once per chunk.
fn chunk_tiles(count: usize, (inputs, outputs): (usize, usize), threads: usize) -> usize {
    let fitting = threads * SHARED / (FREQUENCIES * (inputs + outputs));
    count.div_ceil(count.div_ceil(fitting.max(LEAST_TILES)))
}

/// Number of parts that a frequency's tiles are divided into: 36 tasks keep two threads busy, but not
/// sixteen. Each further part costs a little, since it reads the frequency's filter again.
fn parts_of_frequency(tiles: usize, threads: usize) -> usize {
    let most = (tiles / 24).clamp(1, 4);
    let cost = |parts: usize| {
        (FREQUENCIES * parts).div_ceil(threads) * (100 / parts + if parts > 1 { 5 } else { 0 })
    };
    (1..=most).min_by_key(|&parts| cost(parts)).unwrap_or(1)
}

/// Memory layout of V and M, 36 planes each.
#[derive(Clone, Copy)]
struct Slots {
    /// Values from one frequency to the next, for each of the two.
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

/// The three stages, each for some tiles or one frequency. Unsafe, because tasks write to shared memory.
struct Stages<'a> {
    grid: Grid<'a>,
    filter: &'a Filter,
    target: &'a Target,
    add: Addends<'a>,
}

impl Stages<'_> {
    /// Takes `count` tiles from `first` on through all three stages, on all threads.
    ///
    /// # Safety
    /// `v` and `m` must have `slots` for the tiles; no other thread may access these tiles of y.
    unsafe fn together(&self, first: usize, count: usize, slots: Slots, v: &mut [f32], m: &mut [f32]) {
        let threads = rayon::current_num_threads();
        let (from, to) = (Target::new(v, self.filter.inputs), Target::new(m, self.filter.outputs));
        let block = count.div_ceil(4 * threads);
        let blocks = (0..count.div_ceil(block)).into_par_iter().with_max_len(1);
        let range = |task: usize| (task * block, block.min(count - task * block));
        blocks.clone().for_each(|task| {
            let (slot, tiles) = range(task);
            // SAFETY: each task writes its own tiles' rows of V, which has slots for all of them.
            unsafe { self.input(first + slot, slot, tiles, slots, &from) }
        });
        let parts = parts_of_frequency(count, threads);
        let share = count.div_ceil(parts);
        let parts = count.div_ceil(share);
        (0..FREQUENCIES * parts).into_par_iter().with_max_len(1).for_each(|task| {
            let (f, part) = (task / parts, task % parts);
            let rows = part * share..count.min((part + 1) * share);
            // SAFETY: each task writes its own rows of its own frequency of M, which has slots for all of
            // them.
            unsafe { self.multiply(f, v, rows, slots, &to) }
        });
        blocks.for_each(|task| {
            let (slot, tiles) = range(task);
            // SAFETY: each output tile belongs to one task; the caller vouches for y.
            unsafe { self.output(first + slot, slot, tiles, slots, m) }
        });
    }

    /// Transforms `count` input tiles from `tile` on, to V's rows from `slot` on.
    ///
    /// # Safety
    /// V must have these slots, and no other thread may access them.
    unsafe fn input(&self, tile: usize, slot: usize, count: usize, slots: Slots, v: &Target) {
        let (channels, plane) = (self.filter.inputs, slots.v);
        // SAFETY: `InputTiles` writes these slots of V alone.
        unsafe { with_widest(InputTiles { grid: self.grid, tile, slot, count, plane, channels, v }) }
    }

    /// `M[f] = V[f] U[f]`, some rows of it.
    ///
    /// # Safety
    /// M must have these rows, and no other thread may access them.
    unsafe fn multiply(&self, f: usize, v: &[f32], rows: Range<usize>, slots: Slots, m: &Target) {
        let filter = self.filter;
        let a = Lhs::dense(&v[f * slots.v + rows.start * filter.inputs..], filter.inputs);
        let size = Size { m: rows.len(), k: filter.inputs, n: filter.outputs };
        let m = m.at(rows.start, f * slots.m);
        // SAFETY: the target is these rows of M's frequency `f`, and the product writes no others.
        unsafe { product_into(a, filter.frequency(f), size, &m, ProductEpilogue::default()) }
    }

    /// Transforms M's rows from `slot` on to `count` output tiles from `tile` on.
    ///
    /// # Safety
    /// The tiles must lie in y, and no other thread may access them.
    unsafe fn output(&self, tile: usize, slot: usize, count: usize, slots: Slots, m: &[f32]) {
        let (channels, plane, y) = (self.filter.outputs, slots.m, self.target);
        let tiles = OutputTiles { grid: self.grid, tile, slot, count, plane, channels, m, y, add: self.add };
        // SAFETY: `OutputTiles` writes the outputs of these tiles alone.
        unsafe { with_widest(tiles) }
    }
}
