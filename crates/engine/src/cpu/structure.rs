//! Operations that move or sum values: concatenation, resizing, tables, tokens, bias gradients.

use super::buffer::{Buffer, CpuTensor};
use super::{Cpu, rows_of};
use crate::{Lanes, WeightRef};
use rayon::prelude::*;

/// Rows of a parallel block.
const ROWS: usize = 64;

pub(super) fn sum_rows(cpu: &Cpu, g: &CpuTensor, lanes: &Lanes) -> CpuTensor {
    let width = g.width();
    let by_lane = sum_positions(cpu, g);
    let mut sums = Buffer::new(&cpu.pool, lanes.objectives() * width);
    for (objective, sums) in sums.chunks_exact_mut(width).enumerate() {
        sums.fill(0.0);
        for lane in lanes.of_objective(objective) {
            for (sum, value) in sums.iter_mut().zip(&by_lane.data()[lane * width..]) {
                *sum += value;
            }
        }
    }
    CpuTensor::new(&[lanes.objectives(), width], sums)
}

pub(super) fn sum_positions(cpu: &Cpu, g: &CpuTensor) -> CpuTensor {
    let (width, stride, lanes) = (g.width(), g.stride(), g.shape()[0]);
    let blocks = (stride / width).div_ceil(ROWS);
    // Sums of block sums: rounding errors grow with the block, not with the image.
    let mut parts = Buffer::new(&cpu.pool, lanes * blocks * width);
    parts.par_chunks_mut(width).enumerate().for_each(|(task, part)| {
        let lane = &g.data()[task / blocks * stride..][..stride];
        let block = lane.chunks(ROWS * width).nth(task % blocks).unwrap_or_default();
        sum_of_rows(block, part);
    });
    let mut sums = Buffer::new(&cpu.pool, lanes * width);
    sums.par_chunks_mut(width)
        .zip(parts.par_chunks(blocks * width))
        .for_each(|(sums, parts)| sum_of_rows(parts, sums));
    CpuTensor::new(&[lanes, width], sums)
}

/// The sum of rows, in their order.
fn sum_of_rows(rows: &[f32], sum: &mut [f32]) {
    sum.fill(0.0);
    for row in rows.chunks_exact(sum.len()) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

pub(super) fn concat(cpu: &Cpu, a: &CpuTensor, b: &CpuTensor) -> CpuTensor {
    let (left, right) = (a.width(), b.width());
    let width = left + right;
    let mut shape = a.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = width;
    }
    let mut y = Buffer::new(&cpu.pool, rows_of(a) * width);
    y.par_chunks_mut(ROWS * width)
        .zip(a.data().par_chunks(ROWS * left))
        .zip(b.data().par_chunks(ROWS * right))
        .for_each(|((y, a), b)| {
            let rows = a.chunks_exact(left).zip(b.chunks_exact(right));
            for (y, (a, b)) in y.chunks_exact_mut(width).zip(rows) {
                y[..left].copy_from_slice(a);
                y[left..].copy_from_slice(b);
            }
        });
    CpuTensor::new(&shape, y)
}

pub(super) fn split(cpu: &Cpu, x: &CpuTensor, left: usize) -> (CpuTensor, CpuTensor) {
    let (width, rows) = (x.width(), rows_of(x));
    let right = width - left;
    let shape = |last: usize| [&x.shape()[..x.shape().len() - 1], &[last]].concat();
    let (mut a, mut b) = (Buffer::new(&cpu.pool, rows * left), Buffer::new(&cpu.pool, rows * right));
    x.data()
        .par_chunks(ROWS * width)
        .zip(a.par_chunks_mut(ROWS * left))
        .zip(b.par_chunks_mut(ROWS * right))
        .for_each(|((x, a), b)| {
            let rows = a.chunks_exact_mut(left).zip(b.chunks_exact_mut(right));
            for (x, (a, b)) in x.chunks_exact(width).zip(rows) {
                a.copy_from_slice(&x[..left]);
                b.copy_from_slice(&x[left..]);
            }
        });
    (CpuTensor::new(&shape(left), a), CpuTensor::new(&shape(right), b))
}

/// Source index of every destination index.
fn sources(from: usize, to: usize) -> Vec<usize> {
    (0..to).map(|i| i * from / to).collect()
}

fn dims(x: &CpuTensor) -> [usize; 4] {
    match *x.shape() {
        [n, h, w, c] => [n, h, w, c],
        ref other => panic!("an image has four dimensions, not {other:?}"),
    }
}

pub(super) fn resize_nearest(cpu: &Cpu, x: &CpuTensor, (height, width): (usize, usize)) -> CpuTensor {
    let [samples, h, w, channels] = dims(x);
    let (ys, xs) = (sources(h, height), sources(w, width));
    let mut out = Buffer::new(&cpu.pool, samples * height * width * channels);
    out.par_chunks_mut(width * channels).enumerate().for_each(|(line, out)| {
        let from = (line / height * h + ys[line % height]) * w;
        for (&x0, out) in xs.iter().zip(out.chunks_exact_mut(channels)) {
            out.copy_from_slice(&x.data()[(from + x0) * channels..][..channels]);
        }
    });
    CpuTensor::new(&[samples, height, width, channels], out)
}

pub(super) fn resize_nearest_vjp(cpu: &Cpu, g: &CpuTensor, (h, w): (usize, usize)) -> CpuTensor {
    let [lanes, height, width, channels] = dims(g);
    let (ys, xs) = (sources(h, height), sources(w, width));
    let mut dx = Buffer::new(&cpu.pool, lanes * h * w * channels);
    dx.par_chunks_mut(w * channels).enumerate().for_each(|(line, dx)| {
        dx.fill(0.0);
        let (lane, y0) = (line / h, line % h);
        for y in (0..height).filter(|&y| ys[y] == y0) {
            let from = (lane * height + y) * width;
            for (x, &x0) in xs.iter().enumerate() {
                let g = &g.data()[(from + x) * channels..][..channels];
                for (d, g) in dx[x0 * channels..].iter_mut().zip(g) {
                    *d += g;
                }
            }
        }
    });
    CpuTensor::new(&[lanes, h, w, channels], dx)
}

/// Indices of the window that starts at `2 * index`, of which an odd end leaves one.
fn window(index: usize, end: usize) -> std::ops::Range<usize> {
    2 * index..end.min(2 * index + 2)
}

pub(super) fn avg_pool2(cpu: &Cpu, x: &CpuTensor) -> CpuTensor {
    let [samples, h, w, channels] = dims(x);
    let (height, width) = (h.div_ceil(2), w.div_ceil(2));
    let mut out = Buffer::new(&cpu.pool, samples * height * width * channels);
    out.par_chunks_mut(width * channels).enumerate().for_each(|(line, out)| {
        let (sample, ys) = (line / height, window(line % height, h));
        for (to, out) in out.chunks_exact_mut(channels).enumerate() {
            let xs = window(to, w);
            out.fill(0.0);
            for y in ys.clone() {
                let from = ((sample * h + y) * w + xs.start) * channels;
                for cell in x.data()[from..from + xs.len() * channels].chunks_exact(channels) {
                    out.iter_mut().zip(cell).for_each(|(sum, value)| *sum += value);
                }
            }
            // 1, 1/2 or 1/4: exact.
            let share = 1.0 / (ys.len() * xs.len()) as f32;
            out.iter_mut().for_each(|sum| *sum *= share);
        }
    });
    CpuTensor::new(&[samples, height, width, channels], out)
}

pub(super) fn avg_pool2_vjp(cpu: &Cpu, g: &CpuTensor, (h, w): (usize, usize)) -> CpuTensor {
    let [lanes, height, width, channels] = dims(g);
    let mut dx = Buffer::new(&cpu.pool, lanes * h * w * channels);
    dx.par_chunks_mut(w * channels).enumerate().for_each(|(line, dx)| {
        let (lane, y) = (line / h, line % h / 2);
        for (x, dx) in dx.chunks_exact_mut(channels).enumerate() {
            let from = ((lane * height + y) * width + x / 2) * channels;
            let share = 1.0 / (window(y, h).len() * window(x / 2, w).len()) as f32;
            for (dx, g) in dx.iter_mut().zip(&g.data()[from..from + channels]) {
                *dx = g * share;
            }
        }
    });
    CpuTensor::new(&[lanes, h, w, channels], dx)
}

pub(super) fn embedding(
    cpu: &Cpu,
    ids: &[u32],
    (samples, tokens): (usize, usize),
    table: WeightRef<'_, Cpu>,
) -> CpuTensor {
    let width = match table {
        WeightRef::Frozen(w) => w.dims().1,
        WeightRef::Trained(w) => w.width(),
    };
    let mut out = Buffer::new(&cpu.pool, ids.len() * width);
    for (&id, out) in ids.iter().zip(out.chunks_exact_mut(width)) {
        match table {
            WeightRef::Frozen(w) => w.row(id as usize, out),
            WeightRef::Trained(w) => out.copy_from_slice(&w.data()[id as usize * width..][..width]),
        }
    }
    CpuTensor::new(&[samples, tokens, width], out)
}

pub(super) fn embedding_vjp_params(
    cpu: &Cpu,
    g: &CpuTensor,
    ids: &[u32],
    rows: usize,
    lanes: &Lanes,
) -> CpuTensor {
    let (width, tokens) = (g.width(), g.shape()[1]);
    let mut grads = Buffer::new(&cpu.pool, lanes.objectives() * rows * width);
    for (objective, grads) in grads.chunks_exact_mut(rows * width).enumerate() {
        grads.fill(0.0);
        for lane in lanes.of_objective(objective) {
            let ids = &ids[lanes.sample(lane) * tokens..][..tokens];
            let g = g.data()[lane * tokens * width..].chunks_exact(width);
            for (&id, g) in ids.iter().zip(g) {
                for (sum, g) in grads[id as usize * width..].iter_mut().zip(g) {
                    *sum += g;
                }
            }
        }
    }
    CpuTensor::new(&[lanes.objectives(), rows, width], grads)
}

pub(super) fn pick_token(cpu: &Cpu, x: &CpuTensor, index: &[usize]) -> CpuTensor {
    let width = x.width();
    let mut out = Buffer::new(&cpu.pool, index.len() * width);
    for ((n, &token), out) in index.iter().enumerate().zip(out.chunks_exact_mut(width)) {
        out.copy_from_slice(&x.data()[n * x.stride() + token * width..][..width]);
    }
    CpuTensor::new(&[index.len(), width], out)
}

pub(super) fn pick_token_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    index: &[usize],
    tokens: usize,
    lanes: &Lanes,
) -> CpuTensor {
    let width = g.width();
    let mut dx = Buffer::new(&cpu.pool, lanes.len() * tokens * width);
    dx.fill(0.0);
    for (lane, g) in g.data().chunks_exact(width).enumerate() {
        let token = index[lanes.sample(lane)];
        dx[(lane * tokens + token) * width..][..width].copy_from_slice(g);
    }
    CpuTensor::new(&[lanes.len(), tokens, width], dx)
}
