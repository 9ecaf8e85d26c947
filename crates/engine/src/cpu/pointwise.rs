//! Pointwise functions, sums and GEGLU, vectorised and in parallel blocks.

use super::buffer::{Buffer, CpuTensor};
use super::math::{density, phi, sigmoid, tanh};
use super::{Cpu, rows_of};
use crate::{Activation, Lanes};
use multiversion::multiversion;
use rayon::prelude::*;

/// Values of a parallel block: large enough to pay for its dispatch.
const BLOCK: usize = 1 << 14;

const TANH_SCALE: f32 = 0.797_884_6;
const TANH_CUBIC: f32 = 0.044_715;
const QUICK: f32 = 1.702;

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn forward(x: &[f32], kind: Activation, y: &mut [f32]) {
    match kind {
        Activation::Silu => x.iter().zip(y).for_each(|(&x, y)| *y = x * sigmoid(x)),
        Activation::Gelu => x.iter().zip(y).for_each(|(&x, y)| *y = x * phi(x)),
        Activation::GeluTanh => x.iter().zip(y).for_each(|(&x, y)| {
            *y = 0.5 * x * (1.0 + tanh(TANH_SCALE * (x + TANH_CUBIC * x * x * x)));
        }),
        Activation::QuickGelu => x.iter().zip(y).for_each(|(&x, y)| *y = x * sigmoid(QUICK * x)),
        // Not max, which would make 0 of NaN.
        Activation::Relu => x.iter().zip(y).for_each(|(&x, y)| *y = if x < 0.0 { 0.0 } else { x }),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn backward(g: &[f32], x: &[f32], kind: Activation, dx: &mut [f32]) {
    let all = g.iter().zip(x).zip(dx);
    match kind {
        Activation::Silu => all.for_each(|((&g, &x), dx)| {
            let s = sigmoid(x);
            *dx = g * s * (1.0 + x * (1.0 - s));
        }),
        Activation::Gelu => all.for_each(|((&g, &x), dx)| *dx = g * (phi(x) + x * density(x))),
        Activation::GeluTanh => all.for_each(|((&g, &x), dx)| {
            let t = tanh(TANH_SCALE * (x + TANH_CUBIC * x * x * x));
            let inner = TANH_SCALE * (1.0 + 3.0 * TANH_CUBIC * x * x);
            *dx = g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner);
        }),
        Activation::QuickGelu => all.for_each(|((&g, &x), dx)| {
            let s = sigmoid(QUICK * x);
            *dx = g * s * (1.0 + QUICK * x * (1.0 - s));
        }),
        Activation::Relu => all.for_each(|((&g, &x), dx)| *dx = if x > 0.0 { g } else { 0.0 }),
    }
}

pub(super) fn activation(cpu: &Cpu, x: &CpuTensor, kind: Activation) -> CpuTensor {
    let mut y = Buffer::new(&cpu.pool, x.data().len());
    y.par_chunks_mut(BLOCK).zip(x.data().par_chunks(BLOCK)).for_each(|(y, x)| forward(x, kind, y));
    CpuTensor::new(x.shape(), y)
}

pub(super) fn activation_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    x: &CpuTensor,
    kind: Activation,
    lanes: &Lanes,
) -> CpuTensor {
    let stride = x.stride();
    let mut dx = Buffer::new(&cpu.pool, g.data().len());
    by_lane(&mut dx, stride, |lane, start, dx| {
        let (from, sample) = (lane * stride + start, lanes.sample(lane) * stride + start);
        let (g, x) = (&g.data()[from..from + dx.len()], &x.data()[sample..sample + dx.len()]);
        backward(g, x, kind, dx);
    });
    CpuTensor::new(g.shape(), dx)
}

/// Calls `run(lane, start within the lane, block)` for the lanes of `out` in parallel blocks.
fn by_lane(out: &mut [f32], stride: usize, run: impl Fn(usize, usize, &mut [f32]) + Sync) {
    if stride == 0 {
        return;
    }
    out.par_chunks_mut(stride).enumerate().for_each(|(lane, out)| {
        out.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| run(lane, block * BLOCK, out));
    });
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn geglu_row(x: &[f32], y: &mut [f32]) {
    let (value, gate) = x.split_at(y.len());
    for ((v, g), y) in value.iter().zip(gate).zip(y) {
        *y = v * g * phi(*g);
    }
}

pub(super) fn geglu(cpu: &Cpu, x: &CpuTensor) -> CpuTensor {
    let (width, rows) = (x.width() / 2, rows_of(x));
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = width;
    }
    let mut y = Buffer::new(&cpu.pool, rows * width);
    y.par_chunks_mut(width)
        .zip(x.data().par_chunks(2 * width))
        .with_min_len(8)
        .for_each(|(y, x)| geglu_row(x, y));
    CpuTensor::new(&shape, y)
}

/// GELU of the gate, and the value times GELU's slope, shared by all lanes of a row.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn geglu_slopes(x: &[f32], by_value: &mut [f32], by_gate: &mut [f32]) {
    let (value, gate) = x.split_at(by_value.len());
    for (((v, g), dv), dg) in value.iter().zip(gate).zip(by_value).zip(by_gate) {
        let p = phi(*g);
        *dv = g * p;
        *dg = v * (p + g * density(*g));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn geglu_row_vjp(g: &[f32], by_value: &[f32], by_gate: &[f32], dx: &mut [f32]) {
    let (value, gate) = dx.split_at_mut(g.len());
    for ((g, s), dx) in g.iter().zip(by_value).zip(value) {
        *dx = g * s;
    }
    for ((g, s), dx) in g.iter().zip(by_gate).zip(gate) {
        *dx = g * s;
    }
}

pub(super) fn geglu_vjp(cpu: &Cpu, g: &CpuTensor, x: &CpuTensor, lanes: &Lanes) -> CpuTensor {
    let width = g.width();
    let rows = g.stride() / width;
    let mut shape = g.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = 2 * width;
    }
    let mut dx = Buffer::new(&cpu.pool, 2 * g.data().len());
    let target = super::operands::Target::new(&mut dx, 2 * width);
    (0..lanes.samples() * rows).into_par_iter().with_min_len(8).for_each_init(
        || (vec![0.0; width], vec![0.0; width]),
        |(by_value, by_gate), task| {
            let (sample, row) = (task / rows, task % rows);
            let of = lanes.of_sample(sample);
            if of.is_empty() {
                return;
            }
            geglu_slopes(&x.data()[task * 2 * width..(task + 1) * 2 * width], by_value, by_gate);
            for &lane in of {
                let index = lane * rows + row;
                // SAFETY: each (lane, row) belongs to one task, that of the lane's sample.
                let dx = unsafe { std::slice::from_raw_parts_mut(target.at(index, 0).c, 2 * width) };
                geglu_row_vjp(&g.data()[index * width..(index + 1) * width], by_value, by_gate, dx);
            }
        },
    );
    CpuTensor::new(&shape, dx)
}

pub(super) fn add(cpu: &Cpu, a: &CpuTensor, b: &CpuTensor) -> CpuTensor {
    assert_eq!(a.shape(), b.shape(), "sum of different shapes");
    let mut y = Buffer::new(&cpu.pool, a.data().len());
    let parts = a.data().par_chunks(BLOCK).zip(b.data().par_chunks(BLOCK));
    y.par_chunks_mut(BLOCK).zip(parts).for_each(|(y, (a, b))| {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    });
    CpuTensor::new(a.shape(), y)
}

pub(super) fn accumulate(acc: CpuTensor, b: &CpuTensor) -> CpuTensor {
    assert_eq!(acc.shape(), b.shape(), "sum of different shapes");
    let (shape, mut sum) = acc.into_parts();
    sum.par_chunks_mut(BLOCK).zip(b.data().par_chunks(BLOCK)).for_each(|(sum, b)| {
        for (sum, b) in sum.iter_mut().zip(b) {
            *sum += b;
        }
    });
    CpuTensor::new(&shape, sum)
}

pub(super) fn scale(cpu: &Cpu, x: &CpuTensor, factor: f32) -> CpuTensor {
    let mut y = Buffer::new(&cpu.pool, x.data().len());
    y.par_chunks_mut(BLOCK).zip(x.data().par_chunks(BLOCK)).for_each(|(y, x)| {
        for (y, x) in y.iter_mut().zip(x) {
            *y = factor * x;
        }
    });
    CpuTensor::new(x.shape(), y)
}
