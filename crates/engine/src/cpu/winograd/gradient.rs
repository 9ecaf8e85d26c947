//! The gradient of a 3x3 filter by the adjoint of Winograd's method: a quarter of the products of the plain
//! sum.
//!
//! The forward pass is `y = Aᵀ (U ⊙ V) A` with `U = G w Gᵀ` and `V = Bᵀ d B` on tiles of 4x4 outputs (see
//! `winograd`). The filter's gradient passes through the transpose of each stage:
//!
//! ```text
//! input tiles 6x6 ──BᵀdB──▶ V [36][tiles, I] ─┐
//! cotangent tiles 4x4 ──AgAᵀ──▶ M [36][tiles, O] ─┴─ Mᵀ V, one product per frequency ──▶ dU [36][O, I] ──Gᵀ dU G──▶ dw
//! ```
//! Lanes of an objective on consecutive samples share one product, in blocks that bound the memory.

use super::grid::{FREQUENCIES, Grid, IN, OUT, plane};
use super::tiles::{InputTiles, frequencies_of, pixels_of, row};
use crate::Lanes;
use crate::cpu::Cpu;
use crate::cpu::buffer::{Buffer, CpuTensor};
use crate::cpu::operands::{Lhs, ProductEpilogue, Rhs, Size, Target};
use crate::cpu::product::product_into;
use crate::cpu::simd::{SimdKernel, Vector, with_widest};
use rayon::prelude::*;

/// Values of V and M of one block (64 MiB).
const BLOCK: usize = 16 << 20;
/// Largest dU for which this method is used (16 MiB).
const LARGEST: usize = 4 << 20;

/// True if this method is faster for a filter's gradient.
pub(in crate::cpu) fn suits_gradient(
    kernel: (usize, usize),
    stride: usize,
    tiles: usize,
    (i, o): (usize, usize),
) -> bool {
    kernel == (3, 3) && stride == 1 && i >= 16 && o >= 16 && tiles >= 16 && FREQUENCIES * i * o <= LARGEST
}

/// The gradients `[K, O, 3, 3, I]`, written to `grads`. `grid` is the input `[N, H, W, I]` as the forward
/// pass sees it, `g` is `[L, H', W', O]`.
pub(in crate::cpu) fn gradient(
    cpu: &Cpu,
    grid: Grid<'_>,
    g: &CpuTensor,
    lanes: &Lanes,
    inputs: usize,
    grads: &mut [f32],
) {
    let outputs = g.width();
    let image = grid.height * grid.width * inputs;
    let per_lane = grid.count() / grid.samples.max(1);
    let most = (BLOCK / (FREQUENCIES * per_lane * (inputs + outputs))).max(1);
    let du_plane = plane(outputs * inputs);
    let mut du = Buffer::new(&cpu.pool, FREQUENCIES * du_plane);
    for (objective, grads) in grads.chunks_exact_mut(9 * outputs * inputs).enumerate() {
        let runs = lanes.runs(objective, most);
        if runs.is_empty() {
            grads.fill(0.0);
            continue;
        }
        for (index, (lanes, sample)) in runs.into_iter().enumerate() {
            let samples = lanes.len();
            let input = Grid { data: &grid.data[sample * image..][..samples * image], samples, ..grid };
            let g = &g.data()[lanes.start * g.stride()..lanes.end * g.stride()];
            let cotangent = Grid { data: g, samples, ..grid };
            add_products(cpu, input, cotangent, (inputs, outputs), (&mut du, du_plane), index > 0);
        }
        let target = Target::new(grads, inputs);
        (0..outputs).into_par_iter().with_min_len(4).for_each(|output| {
            let row = FilterRow { du: &du, plane: du_plane, output, inputs, target: &target };
            // SAFETY: each task writes its own output's taps, and there are `outputs` of them in `grads`.
            unsafe { with_widest(row) }
        });
    }
}

/// `dU (+)= Mᵀ V` of a block of samples.
fn add_products(
    cpu: &Cpu,
    input: Grid<'_>,
    cotangent: Grid<'_>,
    (inputs, outputs): (usize, usize),
    (du, du_plane): (&mut Buffer, usize),
    accumulate: bool,
) {
    let count = input.count();
    let (v_plane, m_plane) = (plane(count * inputs), plane(count * outputs));
    let mut v = Buffer::new(&cpu.pool, FREQUENCIES * v_plane);
    let mut m = Buffer::new(&cpu.pool, FREQUENCIES * m_plane);
    let (to_v, to_m) = (Target::new(&mut v, inputs), Target::new(&mut m, outputs));
    let block = count.div_ceil(4 * cpu.threads());
    (0..count.div_ceil(block)).into_par_iter().with_max_len(1).for_each(|task| {
        let tile = task * block;
        let count = block.min(count - tile);
        // SAFETY: each task writes its own tiles' rows of V and M, which have planes for all tiles.
        unsafe {
            let (plane, channels) = (v_plane, inputs);
            with_widest(InputTiles { grid: input, tile, slot: tile, count, plane, channels, v: &to_v });
            let (grid, plane, channels) = (cotangent, m_plane, outputs);
            with_widest(CotangentTiles { grid, tile, count, plane, channels, m: &to_m });
        }
    });
    let target = Target::new(du, inputs);
    (0..FREQUENCIES).into_par_iter().with_max_len(1).for_each(|f| {
        let a = Lhs::transposed(&m[f * m_plane..], outputs);
        let b = Rhs::Dense(&v[f * v_plane..], inputs);
        let size = Size { m: outputs, k: count, n: inputs };
        let epilogue = ProductEpilogue { accumulate, ..ProductEpilogue::default() };
        // SAFETY: each task writes its own frequency of dU, a plane of `outputs * inputs` values.
        unsafe { product_into(a, b, size, &target.at(0, f * du_plane), epilogue) }
    });
}

/// Transforms the cotangents of a run of tiles to rows of M, the cotangent of U ⊙ V, in all frequencies. To
/// run it, M must have these rows, and no other thread may access them.
struct CotangentTiles<'a> {
    /// The cotangents, `[N, H', W', O]`; of the other fields only `out` is used.
    grid: Grid<'a>,
    tile: usize,
    count: usize,
    /// Values from one frequency of M to the next.
    plane: usize,
    channels: usize,
    m: &'a Target,
}

/// A of four values: the transpose of the outputs' transform.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn cotangent_line<V: Vector>([a, b, c, d]: [V; OUT]) -> [V; IN] {
    // SAFETY: arithmetic alone; the caller has enabled the instruction set.
    unsafe {
        let (even, odd) = (a.add(c), b.add(d));
        let far_even = c.mul_add(V::splat(4.0), a);
        let far_odd = d.mul_add(V::splat(8.0), b.add(b));
        [a, even.add(odd), even.sub(odd), far_even.add(far_odd), far_even.sub(far_odd), d]
    }
}

/// Gᵀ of six values: the transpose of the filter's transform.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn tap_line<V: Vector>([a, b, c, d, e, f]: [V; IN]) -> [V; 3] {
    // SAFETY: arithmetic alone; the caller has enabled the instruction set.
    unsafe {
        let zero = V::splat(0.0);
        let times = |v: V, factor: f32, plus: V| v.mul_add(V::splat(factor), plus);
        let (near, far) = (b.add(c), d.add(e));
        let sixth = times(near, -1.0 / 6.0, zero);
        [
            times(a, 0.25, times(far, 1.0 / 24.0, sixth)),
            times(c.sub(b), 1.0 / 6.0, times(d.sub(e), 1.0 / 12.0, zero)),
            times(far, 1.0 / 6.0, sixth).add(f),
        ]
    }
}

impl SimdKernel for CotangentTiles<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (grid, channels) = (self.grid, self.channels);
        for tile in self.tile..self.tile + self.count {
            let (sample, y0, x0) = grid.place(tile);
            let mut pixels = [[std::ptr::null::<f32>(); OUT]; OUT];
            for (y, row) in pixels.iter_mut().enumerate().take(grid.out.0 - y0) {
                for (x, pixel) in row.iter_mut().enumerate().take(grid.out.1 - x0) {
                    let start = ((sample * grid.out.0 + y0 + y) * grid.out.1 + x0 + x) * channels;
                    *pixel = grid.data[start..start + channels].as_ptr();
                }
            }
            for start in (0..channels).step_by(V::LANES) {
                let width = V::LANES.min(channels - start);
                // SAFETY: pixels are null or hold `channels` values, of which `start + width` are used; the
                // tile's row of every plane is in M.
                unsafe {
                    let at = (&pixels, start, width);
                    let half: [[V; IN]; OUT] = [
                        cotangent_line(pixels_of(at, 0)),
                        cotangent_line(pixels_of(at, 1)),
                        cotangent_line(pixels_of(at, 2)),
                        cotangent_line(pixels_of(at, 3)),
                    ];
                    let [a, b, c, d] = &half;
                    let to = self.m.at(tile, start).c;
                    for y in 0..IN {
                        let line = cotangent_line([a[y], b[y], c[y], d[y]]);
                        for (x, value) in line.iter().enumerate() {
                            value.store(to.wrapping_add((y * IN + x) * self.plane), width);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms dU to the nine taps of one output. To run it, the target must have these taps, and no other
/// thread may access them.
struct FilterRow<'a> {
    du: &'a [f32],
    plane: usize,
    output: usize,
    inputs: usize,
    /// `[O * 9, I]`.
    target: &'a Target,
}

impl SimdKernel for FilterRow<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for start in (0..self.inputs).step_by(V::LANES) {
            let width = V::LANES.min(self.inputs - start);
            // SAFETY: dU's length is checked for the values read; `9 * output + 8` is a row of the target.
            unsafe {
                let from = self.output * self.inputs + start;
                assert!(self.du.len() >= (FREQUENCIES - 1) * self.plane + from + width, "dU too small");
                let at = (self.du.as_ptr().add(from), self.plane, width);
                let half: [[V; 3]; IN] = [
                    tap_line(frequencies_of(at, 0)),
                    tap_line(frequencies_of(at, 1)),
                    tap_line(frequencies_of(at, 2)),
                    tap_line(frequencies_of(at, 3)),
                    tap_line(frequencies_of(at, 4)),
                    tap_line(frequencies_of(at, 5)),
                ];
                for y in 0..3 {
                    let line = tap_line(row(&half, y));
                    for (x, value) in line.iter().enumerate() {
                        value.store(self.target.at(9 * self.output + 3 * y + x, start).c, width);
                    }
                }
            }
        }
    }
}
