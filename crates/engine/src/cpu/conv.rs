//! Convolutions as matrix products over neighbourhoods.
//!
//! A task takes a tile of output positions. For a few taps of the kernel at a time it gathers the input
//! pixels under these taps, `[positions, taps * C]` (im2col), and multiplies them with the taps' rows of the
//! weight, accumulating in the tile of the result, which stays in the cache. The input gradient of a stride-1
//! convolution is the same with the flipped weight; for larger strides, products are scattered to the pixels
//! that the taps read.

use super::Cpu;
use super::bf16;
use super::buffer::{Buffer, CpuTensor};
use super::linear;
use super::operands::{Lhs, ProductEpilogue, Rhs, Size, Target};
use super::panels::Panels;
use super::product::{product, product_into};
use super::scratch::with_scratch;
use super::weight::{CpuWeight, Held, trained_backward, trained_forward};
use super::winograd::{self, Addends, Filter, Grid, Taps};
use crate::{ConvParams, Epilogue, Lanes, WeightRef};
use rayon::prelude::*;

/// Positions of a tile.
const TILE: usize = 96;
/// Values of a position that are gathered at once.
const DEPTH: usize = 384;

/// The patches of images `[N, H, W, C]` that output positions read.
#[derive(Clone, Copy)]
struct Patches<'a> {
    images: Grid<'a>,
    channels: usize,
    kernel: (usize, usize),
    stride: usize,
}

impl Patches<'_> {
    /// Copies the pixels under `taps` of `count` positions from `first` on to `buffer [count, taps * C]`;
    /// zeros outside the image.
    fn gather(&self, first: usize, count: usize, taps: std::ops::Range<usize>, buffer: &mut [f32]) {
        let c = self.channels;
        let row = taps.len() * c;
        let Grid { data, height, width, top, left, out: (out_height, out_width), .. } = self.images;
        let (mut x, rest) = (first % out_width, first / out_width);
        let (mut y, mut sample) = (rest % out_height, rest / out_height);
        for line in buffer[..count * row].chunks_exact_mut(row) {
            for (tap, out) in taps.clone().zip(line.chunks_exact_mut(c)) {
                let sy = (y * self.stride + tap / self.kernel.1) as isize - top;
                let sx = (x * self.stride + tap % self.kernel.1) as isize - left;
                if (0..height as isize).contains(&sy) && (0..width as isize).contains(&sx) {
                    let from = ((sample * height + sy as usize) * width + sx as usize) * c;
                    out.copy_from_slice(&data[from..from + c]);
                } else {
                    out.fill(0.0);
                }
            }
            x += 1;
            if x == out_width {
                (x, y) = (0, y + 1);
                if y == out_height {
                    (y, sample) = (0, sample + 1);
                }
            }
        }
    }
}

/// The correlation `y [positions, O]` of every position's patch with a packed filter.
fn correlate(
    patches: Patches<'_>,
    panels: &Panels,
    outputs: usize,
    y: &mut [f32],
    epilogue: ProductEpilogue<'_>,
) {
    let images = patches.images;
    let positions = images.samples * images.out.0 * images.out.1;
    let taps = patches.kernel.0 * patches.kernel.1;
    let group = (DEPTH / patches.channels).clamp(1, taps);
    let threads = rayon::current_num_threads();
    let tiles = positions.div_ceil(TILE).next_multiple_of(threads);
    let tile = positions.div_ceil(tiles).next_multiple_of(4);
    // Few positions: the columns are divided among tasks as well.
    let column_groups =
        if positions.div_ceil(tile) < threads { threads.min(outputs.div_ceil(32)) } else { 1 };
    let columns = outputs.div_ceil(column_groups).next_multiple_of(32);
    let tiles = positions.div_ceil(tile);
    let target = Target::new(y, outputs);
    (0..tiles * outputs.div_ceil(columns)).into_par_iter().with_max_len(1).for_each(|task| {
        let first = task % tiles * tile;
        let column = task / tiles * columns;
        let count = tile.min(positions - first);
        let n = columns.min(outputs - column);
        with_scratch(tile * group * patches.channels, |buffer| {
            for start in (0..taps).step_by(group) {
                let part = start..(start + group).min(taps);
                let k = part.len() * patches.channels;
                patches.gather(first, count, part.clone(), buffer);
                let epilogue = if start == 0 {
                    ProductEpilogue {
                        bias: epilogue.bias.map(|b| &b[column..]),
                        add: epilogue.add.map(|(d, row)| (&d[first * row + column..], row)),
                        accumulate: epilogue.accumulate,
                    }
                } else {
                    ProductEpilogue { accumulate: true, ..ProductEpilogue::default() }
                };
                let b = match panels.rhs_from(start * patches.channels) {
                    Rhs::Panels { data, depth, start } => {
                        Rhs::Panels { data: &data[column * depth..], depth, start }
                    }
                    dense => dense,
                };
                let a = Lhs::dense(buffer, k);
                // SAFETY: each task has its own positions and columns of y.
                unsafe { product_into(a, b, Size { m: count, k, n }, &target.at(first, column), epilogue) }
            }
        });
    });
}

fn pointwise(geometry: ConvParams) -> bool {
    geometry == ConvParams::square(1, 1, 0)
}

/// The weight of a convolution that is computed in bfloat16.
fn in_bf16<'a>(cpu: &Cpu, weight: WeightRef<'a, Cpu>, geometry: ConvParams) -> Option<&'a CpuWeight> {
    let WeightRef::Frozen(weight) = weight else { return None };
    let (outputs, inputs, _) = weight.dims();
    (cpu.bf16 && bf16::suits(geometry.stride, (inputs, outputs))).then_some(weight)
}

pub(super) fn conv2d(
    cpu: &Cpu,
    x: &CpuTensor,
    weight: WeightRef<'_, Cpu>,
    geometry: ConvParams,
    epilogue: Epilogue<'_, Cpu>,
) -> CpuTensor {
    let [samples, height, width, channels] = dims(x);
    if pointwise(geometry) {
        let flat;
        let kernel = match weight {
            WeightRef::Trained(w) => {
                flat = w.reshaped(&[w.shape()[0], channels]);
                WeightRef::Trained(&flat)
            }
            frozen => frozen,
        };
        return linear::linear(cpu, x, kernel, None, epilogue);
    }
    let out = geometry.output((height, width));
    let taps = geometry.kernel.0 * geometry.kernel.1;
    let outputs = match weight {
        WeightRef::Frozen(w) => w.dims().0,
        WeightRef::Trained(w) => w.shape()[0],
    };
    let trained = |w: &CpuTensor| trained_forward(&cpu.pool, w.data(), (outputs, channels, taps));
    let mut y = Buffer::new(&cpu.pool, samples * out.0 * out.1 * outputs);
    let (top, left) = (geometry.pad[0] as isize, geometry.pad[1] as isize);
    let grid = Grid { data: x.data(), samples, height, width, top, left, out };
    let add = Addends {
        bias: epilogue.bias.map(|b| b.data()),
        shift: epilogue.shift.map(|s| s.data()),
        residual: epilogue.residual.map(|r| r.data()),
        accumulate: false,
    };
    if let Some(w) = in_bf16(cpu, weight, geometry) {
        let panels = w.forward_pairs(&cpu.pool);
        bf16::convolve(&cpu.pool, grid, geometry.kernel, (&panels, outputs), &mut y, add);
        return CpuTensor::new(&[samples, out.0, out.1, outputs], y);
    }
    if winograd::suits(geometry.kernel, geometry.stride, grid, (channels, outputs)) {
        let filter = match weight {
            WeightRef::Frozen(w) => w.forward_filter(&cpu.pool),
            WeightRef::Trained(w) => {
                Held::Made(Filter::new(&cpu.pool, Taps::Panels(&trained(w)), (channels, outputs)))
            }
        };
        winograd::convolve(&cpu.pool, grid, &filter, &mut y, add);
        return CpuTensor::new(&[samples, out.0, out.1, outputs], y);
    }
    let patches = Patches { images: grid, channels, kernel: geometry.kernel, stride: geometry.stride };
    let panels = match weight {
        WeightRef::Frozen(w) => w.forward(&cpu.pool),
        WeightRef::Trained(w) => Held::Made(trained(w)),
    };
    let added = linear::product_epilogue(epilogue, outputs);
    correlate(patches, &panels, outputs, &mut y, added);
    if let Some(shift) = epilogue.shift {
        linear::add_shift(&mut y, shift);
    }
    CpuTensor::new(&[samples, out.0, out.1, outputs], y)
}

pub(super) fn conv2d_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    weight: WeightRef<'_, Cpu>,
    geometry: ConvParams,
    (height, width): (usize, usize),
    acc: Option<CpuTensor>,
) -> CpuTensor {
    let [lanes, out_height, out_width, outputs] = dims(g);
    let taps = geometry.kernel.0 * geometry.kernel.1;
    if pointwise(geometry) {
        let flat;
        let kernel = match weight {
            WeightRef::Trained(w) => {
                flat = w.reshaped(&[outputs, w.width()]);
                WeightRef::Trained(&flat)
            }
            frozen => frozen,
        };
        return linear::linear_vjp(cpu, g, kernel, None, acc);
    }
    let inputs = match weight {
        WeightRef::Frozen(w) => w.dims().1,
        WeightRef::Trained(w) => w.width(),
    };
    let accumulate = acc.is_some();
    let mut dx = match acc {
        Some(acc) => acc.into_parts().1,
        None => Buffer::new(&cpu.pool, lanes * height * width * inputs),
    };
    let trained = |w: &CpuTensor| trained_backward(&cpu.pool, w.data(), (outputs, inputs, taps));
    let grid = Grid {
        data: g.data(),
        samples: lanes,
        height: out_height,
        width: out_width,
        top: geometry.kernel.0 as isize - 1 - geometry.pad[0] as isize,
        left: geometry.kernel.1 as isize - 1 - geometry.pad[1] as isize,
        out: (height, width),
    };
    let add = Addends { accumulate, ..Addends::default() };
    if let Some(w) = in_bf16(cpu, weight, geometry) {
        let panels = w.backward_pairs(&cpu.pool);
        bf16::convolve(&cpu.pool, grid, geometry.kernel, (&panels, inputs), &mut dx, add);
        return CpuTensor::new(&[lanes, height, width, inputs], dx);
    }
    if winograd::suits(geometry.kernel, geometry.stride, grid, (outputs, inputs)) {
        let filter = match weight {
            WeightRef::Frozen(w) => w.backward_filter(&cpu.pool),
            WeightRef::Trained(w) => {
                Held::Made(Filter::new(&cpu.pool, Taps::Panels(&trained(w)), (outputs, inputs)))
            }
        };
        winograd::convolve(&cpu.pool, grid, &filter, &mut dx, add);
        return CpuTensor::new(&[lanes, height, width, inputs], dx);
    }
    let panels = match weight {
        WeightRef::Frozen(w) => w.backward(&cpu.pool),
        WeightRef::Trained(w) => Held::Made(trained(w)),
    };
    if geometry.stride == 1 {
        let patches = Patches { images: grid, channels: outputs, kernel: geometry.kernel, stride: 1 };
        let epilogue = ProductEpilogue { accumulate, ..ProductEpilogue::default() };
        correlate(patches, &panels, inputs, &mut dx, epilogue);
    } else {
        let image = height * width * inputs;
        // Bands of input rows that about a tile of positions reads, the same for any number of threads.
        let band = geometry.stride * (TILE / out_width).max(1);
        let images = g.data().par_chunks(out_height * out_width * outputs);
        dx.par_chunks_mut(image).zip(images).for_each(|(dx, g)| {
            dx.par_chunks_mut(band * width * inputs).enumerate().for_each(|(index, dx)| {
                if !accumulate {
                    dx.fill(0.0);
                }
                let size = (out_height, out_width, outputs);
                scatter(g, &panels, geometry, size, (index * band, width, inputs), dx);
            });
        });
    }
    CpuTensor::new(&[lanes, height, width, inputs], dx)
}

/// Adds one image's products `g W_tap` to the pixels that each tap reads, in a band of input rows from
/// `first_row` on.
fn scatter(
    g: &[f32],
    panels: &Panels,
    geometry: ConvParams,
    (out_height, out_width, outputs): (usize, usize, usize),
    (first_row, width, inputs): (usize, usize, usize),
    dx: &mut [f32],
) {
    let rows = dx.len() / (width * inputs);
    for tap in 0..geometry.kernel.0 * geometry.kernel.1 {
        let (tap_y, tap_x) = (tap / geometry.kernel.1, tap % geometry.kernel.1);
        // The first output row that reads this input row or one below it.
        let first_reader = |row: usize| {
            (row + geometry.pad[0]).saturating_sub(tap_y).div_ceil(geometry.stride).min(out_height)
        };
        let positions = first_reader(first_row) * out_width..first_reader(first_row + rows) * out_width;
        let columns = panels.rhs_from((geometry.kernel.0 * geometry.kernel.1 - 1 - tap) * outputs);
        for first in positions.clone().step_by(TILE) {
            let count = TILE.min(positions.end - first);
            let a = Lhs::dense(&g[first * outputs..], outputs);
            let size = Size { m: count, k: outputs, n: inputs };
            with_scratch(TILE * inputs, |buffer| {
                product(a, columns, size, buffer, inputs, ProductEpilogue::default());
                for (i, values) in buffer.chunks_exact(inputs).take(count).enumerate() {
                    let (y, x) = ((first + i) / out_width, (first + i) % out_width);
                    let y = y * geometry.stride + tap_y - geometry.pad[0] - first_row;
                    let x = (x * geometry.stride + tap_x).wrapping_sub(geometry.pad[1]);
                    if x < width {
                        let out = &mut dx[(y * width + x) * inputs..][..inputs];
                        for (o, v) in out.iter_mut().zip(values) {
                            *o += v;
                        }
                    }
                }
            });
        }
    }
}

pub(super) fn conv2d_vjp_params(
    cpu: &Cpu,
    g: &CpuTensor,
    x: &CpuTensor,
    geometry: ConvParams,
    lanes: &Lanes,
) -> CpuTensor {
    let [_, height, width, inputs] = dims(x);
    let [_, out_height, out_width, outputs] = dims(g);
    let (kh, kw) = geometry.kernel;
    let taps = kh * kw;
    let objectives = lanes.objectives();
    let mut grads = Buffer::new(&cpu.pool, objectives * outputs * taps * inputs);
    let grid = Grid {
        data: x.data(),
        samples: x.shape()[0],
        height,
        width,
        top: geometry.pad[0] as isize,
        left: geometry.pad[1] as isize,
        out: (out_height, out_width),
    };
    if winograd::suits_gradient(geometry.kernel, geometry.stride, grid.count(), (inputs, outputs)) {
        winograd::gradient(cpu, grid, g, lanes, inputs, &mut grads);
        return CpuTensor::new(&[objectives, outputs, kh, kw, inputs], grads);
    }
    let target = Target::new(&mut grads, taps * inputs);
    let positions = out_height * out_width;
    let tile = 256.min(positions);
    (0..objectives * taps).into_par_iter().with_max_len(1).for_each(|task| {
        let (objective, tap) = (task / taps, task % taps);
        let target = target.at(objective * outputs, tap * inputs);
        let mut started = false;
        for lane in lanes.of_objective(objective) {
            let sample = lanes.sample(lane);
            let data = &x.data()[sample * x.stride()..][..x.stride()];
            let images = Grid { data, samples: 1, ..grid };
            let (kernel, stride) = (geometry.kernel, geometry.stride);
            let patches = Patches { images, channels: inputs, kernel, stride };
            let g = &g.data()[lane * g.stride()..][..g.stride()];
            for first in (0..positions).step_by(tile) {
                let count = tile.min(positions - first);
                with_scratch(tile * inputs, |buffer| {
                    patches.gather(first, count, tap..tap + 1, buffer);
                    let a = Lhs::transposed(&g[first * outputs..], outputs);
                    let size = Size { m: outputs, k: count, n: inputs };
                    let epilogue = ProductEpilogue { accumulate: started, ..ProductEpilogue::default() };
                    // SAFETY: each task writes its own objective's columns of its own tap.
                    unsafe { product_into(a, Rhs::Dense(buffer, inputs), size, &target, epilogue) }
                });
                started = true;
            }
        }
        if !started {
            for o in 0..outputs {
                // SAFETY: the task's own objective and tap; row o of its columns.
                unsafe { std::slice::from_raw_parts_mut(target.at(o, 0).c, inputs) }.fill(0.0);
            }
        }
    });
    CpuTensor::new(&[objectives, outputs, kh, kw, inputs], grads)
}

fn dims(x: &CpuTensor) -> [usize; 4] {
    match *x.shape() {
        [n, h, w, c] => [n, h, w, c],
        ref other => panic!("an image has four dimensions, not {other:?}"),
    }
}
