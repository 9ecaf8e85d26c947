//! Layer normalisation: every row on its own, in blocks of rows.

use super::buffer::{Buffer, CpuTensor};
use super::product::Target;
use super::{Cpu, rows_of};
use crate::{Affine, Lanes};
use multiversion::multiversion;
use rayon::prelude::*;

/// Rows of a block.
const ROWS: usize = 64;

/// Sums of the lanes' (gamma, beta) gradients by objective, `[K, C]` each.
pub(super) fn sum_lanes<'a>(
    cpu: &Cpu,
    width: usize,
    lanes: &Lanes,
    by_lane: impl Fn(usize) -> &'a (Vec<f32>, Vec<f32>),
) -> (CpuTensor, CpuTensor) {
    let shape = [lanes.objectives(), width];
    let (mut gamma, mut beta) =
        (Buffer::new(&cpu.pool, shape[0] * width), Buffer::new(&cpu.pool, shape[0] * width));
    gamma.fill(0.0);
    beta.fill(0.0);
    for objective in 0..lanes.objectives() {
        for lane in lanes.of_objective(objective) {
            let (g, b) = by_lane(lane);
            for (sum, value) in gamma[objective * width..].iter_mut().zip(g) {
                *sum += value;
            }
            for (sum, value) in beta[objective * width..].iter_mut().zip(b) {
                *sum += value;
            }
        }
    }
    (CpuTensor::new(&shape, gamma), CpuTensor::new(&shape, beta))
}

/// Sum in eight strands, which vectorises and keeps rounding small.
#[inline(always)]
fn strand_sum(values: impl Iterator<Item = f32>) -> f32 {
    let mut strands = [0.0f32; 16];
    for (i, value) in values.enumerate() {
        strands[i % 16] += value;
    }
    strands.iter().sum()
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn layer_rows(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, y: &mut [f32], stats: &mut [f32]) {
    let width = gamma.len();
    let beta = &beta[..width];
    for ((x, y), stat) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(stats.chunks_exact_mut(2))
    {
        // Equal lengths in sight let the compiler drop the checks and vectorise.
        let (x, y) = (&x[..width], &mut y[..width]);
        let (mean, rstd) = row_stats(x, eps);
        (stat[0], stat[1]) = (mean, rstd);
        for c in 0..width {
            y[c] = (x[c] - mean) * rstd * gamma[c] + beta[c];
        }
    }
}

#[inline(always)]
fn row_stats(x: &[f32], eps: f32) -> (f32, f32) {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut sums = [0.0f32; 16];
    for chunk in chunks {
        for (s, v) in sums.iter_mut().zip(chunk) {
            *s += v;
        }
    }
    let mean = (sums.iter().sum::<f32>() + rest.iter().sum::<f32>()) / x.len() as f32;
    let mut squares = [0.0f32; 16];
    for chunk in chunks {
        for (s, v) in squares.iter_mut().zip(chunk) {
            *s += (v - mean) * (v - mean);
        }
    }
    let tail: f32 = rest.iter().map(|v| (v - mean) * (v - mean)).sum();
    let variance = (squares.iter().sum::<f32>() + tail) / x.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

pub(super) fn layer_norm(cpu: &Cpu, x: &CpuTensor, affine: Affine<'_, Cpu>) -> (CpuTensor, CpuTensor) {
    let (width, rows) = (x.width(), rows_of(x));
    let mut y = Buffer::new(&cpu.pool, rows * width);
    let mut stats = Buffer::new(&cpu.pool, rows * 2);
    let (gamma, beta) = (affine.gamma.data(), affine.beta.data());
    y.par_chunks_mut(ROWS * width)
        .zip(x.data().par_chunks(ROWS * width))
        .zip(stats.par_chunks_mut(ROWS * 2))
        .for_each(|((y, x), stats)| layer_rows(x, gamma, beta, affine.eps, y, stats));
    (CpuTensor::new(x.shape(), y), CpuTensor::new(&[rows, 2], stats))
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn layer_rows_vjp(g: &[f32], x: &[f32], stats: &[f32], gamma: &[f32], acc: Option<&[f32]>, dx: &mut [f32]) {
    let width = gamma.len();
    let scale = 1.0 / width as f32;
    for (i, ((g, x), dx)) in
        g.chunks_exact(width).zip(x.chunks_exact(width)).zip(dx.chunks_exact_mut(width)).enumerate()
    {
        let (mean, rstd) = (stats[2 * i], stats[2 * i + 1]);
        let (g, x, dx) = (&g[..width], &x[..width], &mut dx[..width]);
        let (mut plain, mut weighted) = ([0.0f32; 16], [0.0f32; 16]);
        let main = width / 16 * 16;
        let parts = g.as_chunks::<16>().0.iter().zip(x.as_chunks::<16>().0).zip(gamma.as_chunks::<16>().0);
        for ((g, x), gamma) in parts {
            for j in 0..16 {
                let d = g[j] * gamma[j];
                plain[j] += d;
                weighted[j] += d * (x[j] - mean);
            }
        }
        let rest = main..width;
        let a = plain.iter().sum::<f32>() + strand_sum(rest.clone().map(|c| g[c] * gamma[c]));
        let b = weighted.iter().sum::<f32>() + strand_sum(rest.map(|c| g[c] * gamma[c] * (x[c] - mean)));
        let (a, b) = (a * scale, b * scale * rstd * rstd);
        match acc {
            Some(acc) => {
                let acc = &acc[i * width..(i + 1) * width];
                for c in 0..width {
                    dx[c] = (g[c] * gamma[c] - a - (x[c] - mean) * b) * rstd + acc[c];
                }
            }
            None => {
                for c in 0..width {
                    dx[c] = (g[c] * gamma[c] - a - (x[c] - mean) * b) * rstd;
                }
            }
        }
    }
}

pub(super) fn layer_norm_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    (x, stats): (&CpuTensor, &CpuTensor),
    affine: Affine<'_, Cpu>,
    lanes: &Lanes,
    acc: Option<CpuTensor>,
) -> CpuTensor {
    let (width, stride) = (x.width(), x.stride());
    let rows = stride / width;
    let blocks = rows.div_ceil(ROWS);
    let mut dx = Buffer::new(&cpu.pool, g.data().len());
    let target = Target::new(&mut dx, stride);
    (0..lanes.len() * blocks).into_par_iter().for_each(|task| {
        let (lane, block) = (task / blocks, task % blocks);
        let sample = lanes.sample(lane);
        let (start, end) = (block * ROWS, (block * ROWS + ROWS).min(rows));
        let part = |index: usize| index * stride + start * width..index * stride + end * width;
        // SAFETY: this block of this lane belongs to this task alone.
        let out = unsafe {
            std::slice::from_raw_parts_mut(target.at(lane, start * width).c, (end - start) * width)
        };
        let stats = &stats.data()[(sample * rows + start) * 2..(sample * rows + end) * 2];
        let acc = acc.as_ref().map(|t| &t.data()[part(lane)]);
        layer_rows_vjp(&g.data()[part(lane)], &x.data()[part(sample)], stats, affine.gamma.data(), acc, out);
    });
    CpuTensor::new(g.shape(), dx)
}

pub(super) fn layer_norm_vjp_params(
    cpu: &Cpu,
    g: &CpuTensor,
    (x, stats): (&CpuTensor, &CpuTensor),
    lanes: &Lanes,
) -> (CpuTensor, CpuTensor) {
    let (width, stride) = (x.width(), x.stride());
    let rows = stride / width;
    let sums: Vec<(Vec<f32>, Vec<f32>)> = (0..lanes.len())
        .into_par_iter()
        .map(|lane| {
            let sample = lanes.sample(lane);
            let (mut gamma, mut beta) = (vec![0.0; width], vec![0.0; width]);
            let g = g.data()[lane * stride..][..stride].chunks_exact(width);
            let x = x.data()[sample * stride..][..stride].chunks_exact(width);
            let stats = stats.data()[sample * rows * 2..].chunks_exact(2);
            for ((g, x), stat) in g.zip(x).zip(stats) {
                for c in 0..width {
                    beta[c] += g[c];
                    gamma[c] += g[c] * (x[c] - stat[0]) * stat[1];
                }
            }
            (gamma, beta)
        })
        .collect();
    sum_lanes(cpu, width, lanes, |lane| &sums[lane])
}
