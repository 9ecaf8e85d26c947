//! Layer normalisation: every row on its own, in blocks of rows.

use super::buffer::{Buffer, CpuTensor};
use super::operands::Target;
use super::{Cpu, rows_of};
use crate::{Affine, Lanes};
use multiversion::multiversion;
use rayon::prelude::*;

/// Rows of a block.
const ROWS: usize = 64;

/// Two sums per channel over a block of rows, such as the gradients of gamma and beta.
pub(super) type BlockSums = (Vec<f32>, Vec<f32>);

/// Sums of the (gamma, beta) gradients by objective, `[K, C]` each, from those of each lane's blocks.
pub(super) fn sum_lanes<'a, I: Iterator<Item = &'a BlockSums>>(
    cpu: &Cpu,
    width: usize,
    lanes: &Lanes,
    of_lane: impl Fn(usize) -> I + Sync,
) -> (CpuTensor, CpuTensor) {
    let shape = [lanes.objectives(), width];
    let (mut gamma, mut beta) =
        (Buffer::new(&cpu.pool, shape[0] * width), Buffer::new(&cpu.pool, shape[0] * width));
    let objectives = gamma.par_chunks_mut(width).zip(beta.par_chunks_mut(width)).enumerate();
    objectives.for_each(|(objective, (gamma, beta))| {
        gamma.fill(0.0);
        beta.fill(0.0);
        for (g, b) in lanes.of_objective(objective).flat_map(&of_lane) {
            for ((gamma, g), (beta, b)) in gamma.iter_mut().zip(g).zip(beta.iter_mut().zip(b)) {
                *gamma += g;
                *beta += b;
            }
        }
    });
    (CpuTensor::new(&shape, gamma), CpuTensor::new(&shape, beta))
}

/// Sum in sixteen interleaved accumulators, which vectorises and keeps rounding small.
#[inline(always)]
fn interleaved_sum(values: impl Iterator<Item = f32>) -> f32 {
    let mut sums = [0.0f32; 16];
    for (i, value) in values.enumerate() {
        sums[i % 16] += value;
    }
    sums.iter().sum()
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn layer_rows(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, y: &mut [f32], stats: &mut [f32]) {
    let width = gamma.len();
    let beta = &beta[..width];
    for ((x, y), stat) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(stats.chunks_exact_mut(2))
    {
        // Slices of visibly equal length let the compiler drop the bounds checks and vectorise.
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
        let a = plain.iter().sum::<f32>() + interleaved_sum(rest.clone().map(|c| g[c] * gamma[c]));
        let b = weighted.iter().sum::<f32>() + interleaved_sum(rest.map(|c| g[c] * gamma[c] * (x[c] - mean)));
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

/// Adds `g` and `g` times the normalised values to per-channel sums.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn add_param_sums(g: &[f32], x: &[f32], stats: &[f32], gamma: &mut [f32], beta: &mut [f32]) {
    let width = gamma.len();
    let beta = &mut beta[..width];
    for ((g, x), stat) in g.chunks_exact(width).zip(x.chunks_exact(width)).zip(stats.chunks_exact(2)) {
        let (g, x) = (&g[..width], &x[..width]);
        for c in 0..width {
            beta[c] += g[c];
            gamma[c] += g[c] * (x[c] - stat[0]) * stat[1];
        }
    }
}

pub(super) fn layer_norm_vjp_params(
    cpu: &Cpu,
    g: &CpuTensor,
    (x, stats): (&CpuTensor, &CpuTensor),
    lanes: &Lanes,
) -> (CpuTensor, CpuTensor) {
    let (width, stride) = (x.width(), x.stride());
    let rows = stride / width;
    let blocks = rows.div_ceil(ROWS);
    let sums: Vec<BlockSums> = (0..lanes.len() * blocks)
        .into_par_iter()
        .map(|task| {
            let (lane, block) = (task / blocks, task % blocks);
            let sample = lanes.sample(lane);
            let (start, end) = (block * ROWS, (block * ROWS + ROWS).min(rows));
            let part = |index: usize| index * stride + start * width..index * stride + end * width;
            let stats = &stats.data()[(sample * rows + start) * 2..(sample * rows + end) * 2];
            let (mut gamma, mut beta) = (vec![0.0; width], vec![0.0; width]);
            add_param_sums(&g.data()[part(lane)], &x.data()[part(sample)], stats, &mut gamma, &mut beta);
            (gamma, beta)
        })
        .collect();
    sum_lanes(cpu, width, lanes, |lane| sums[lane * blocks..(lane + 1) * blocks].iter())
}
