//! Group normalisation.
//!
//! Work is divided into blocks of rows (positions), the same for any number of threads, so that sums have the
//! same bits. Means and variances are accumulated around a pivot (the block's first value of the channel) and
//! merged in f64 (Chan et al. 1979), which keeps them exact when the mean is large. In the backward pass a
//! block's normalised values and activation slopes are computed once for all lanes of the sample.

use super::Cpu;
use super::buffer::{Buffer, CpuTensor};
use super::layer_norm::{BlockSums, sum_lanes};
use super::math::{exp, sigmoid};
use super::operands::Target;
use crate::{Affine, Lanes};
use multiversion::multiversion;
use rayon::prelude::*;

/// Rows of a block.
const ROWS: usize = 64;

/// Moments or sums to merge below which another thread is not worth starting.
const FEW: usize = 256;

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn channel_sums(x: &[f32], width: usize, sums: &mut [f32], squares: &mut [f32]) {
    let (pivot, _) = x.split_at(width);
    sums.fill(0.0);
    squares.fill(0.0);
    for row in x.chunks_exact(width) {
        for (((x, p), s), q) in row.iter().zip(pivot).zip(sums.iter_mut()).zip(squares.iter_mut()) {
            let d = x - p;
            *s += d;
            *q += d * d;
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn apply(x: &[f32], scale: &[f32], shift: &[f32], silu: bool, y: &mut [f32]) {
    let width = scale.len();
    for (row, out) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        if silu {
            for (((x, a), b), y) in row.iter().zip(scale).zip(shift).zip(out) {
                let v = x * a + b;
                *y = v / (1.0 + exp(-v));
            }
        } else {
            for (((x, a), b), y) in row.iter().zip(scale).zip(shift).zip(out) {
                *y = x * a + b;
            }
        }
    }
}

/// Mean, sum of squared deviations and count, in f64.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    m2: f64,
}

impl Moments {
    fn merge(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            m2: self.m2 + other.m2 + delta * delta * self.count * other.count / count,
        }
    }
}

/// `scale` and `shift` per channel such that `x * scale + shift` is the affine normalisation.
fn channel_affine(stats: &[f32], gamma: &[f32], beta: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let per_group = gamma.len() / (stats.len() / 2);
    let scale: Vec<f32> =
        gamma.iter().enumerate().map(|(c, gamma)| gamma * stats[c / per_group * 2 + 1]).collect();
    let shift = beta.iter().zip(&scale).enumerate();
    let shift = shift.map(|(c, (beta, scale))| beta - stats[c / per_group * 2] * scale).collect();
    (scale, shift)
}

pub(super) fn group_norm(
    cpu: &Cpu,
    x: &CpuTensor,
    groups: usize,
    affine: Affine<'_, Cpu>,
    silu: bool,
) -> (CpuTensor, CpuTensor) {
    let (samples, width, stride) = (x.shape()[0], x.width(), x.stride());
    let per_group = width / groups;
    let blocks = (stride / width).div_ceil(ROWS);
    let moments: Vec<Vec<Moments>> = (0..samples * blocks)
        .into_par_iter()
        .map(|task| {
            let data = &x.data()[task / blocks * stride..][..stride];
            let block = data.chunks(ROWS * width).nth(task % blocks).unwrap_or_default();
            let count = (block.len() / width) as f64;
            let (mut sums, mut squares) = (vec![0.0; width], vec![0.0; width]);
            channel_sums(block, width, &mut sums, &mut squares);
            (0..groups)
                .map(|group| {
                    (group * per_group..(group + 1) * per_group).fold(Moments::default(), |all, c| {
                        let sum = sums[c] as f64;
                        all.merge(Moments {
                            count,
                            mean: block[c] as f64 + sum / count,
                            m2: squares[c] as f64 - sum * sum / count,
                        })
                    })
                })
                .collect()
        })
        .collect();
    let mut stats = Buffer::new(&cpu.pool, samples * groups * 2);
    stats.par_chunks_exact_mut(2).with_min_len(FEW.div_ceil(blocks)).enumerate().for_each(|(index, stat)| {
        let (sample, group) = (index / groups, index % groups);
        let all = moments[sample * blocks..(sample + 1) * blocks]
            .iter()
            .fold(Moments::default(), |all, m| all.merge(m[group]));
        stat[0] = all.mean as f32;
        stat[1] = (1.0 / (all.m2.max(0.0) / all.count + affine.eps as f64).sqrt()) as f32;
    });
    let maps: Vec<_> = stats
        .chunks_exact(groups * 2)
        .map(|stats| channel_affine(stats, affine.gamma.data(), affine.beta.data()))
        .collect();
    let mut y = Buffer::new(&cpu.pool, samples * stride);
    let per_sample = stride / width;
    // Blocks must not span samples, so each sample is divided by itself.
    y.par_chunks_mut(stride).zip(x.data().par_chunks(stride)).enumerate().for_each(|(sample, (y, x))| {
        let (scale, shift) = &maps[sample];
        let block = ROWS.min(per_sample) * width;
        y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| apply(x, scale, shift, silu, y));
    });
    (CpuTensor::new(x.shape(), y), CpuTensor::new(&[samples, groups, 2], stats))
}

/// Computes what all lanes of a sample share in one block: normalised values, and the slope of the output
/// with respect to them.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn shared(
    x: &[f32],
    (mean, rstd): (&[f32], &[f32]),
    (gamma, beta): (&[f32], &[f32]),
    silu: bool,
    normalised: &mut [f32],
    slope: &mut [f32],
) {
    let width = gamma.len();
    let (mean, rstd, beta) = (&mean[..width], &rstd[..width], &beta[..width]);
    for ((row, n), s) in
        x.chunks_exact(width).zip(normalised.chunks_exact_mut(width)).zip(slope.chunks_exact_mut(width))
    {
        // Slices of visibly equal length let the compiler drop the bounds checks and vectorise.
        let (row, n, s) = (&row[..width], &mut n[..width], &mut s[..width]);
        for c in 0..width {
            n[c] = (row[c] - mean[c]) * rstd[c];
        }
        if silu {
            for c in 0..width {
                let v = n[c] * gamma[c] + beta[c];
                let sig = sigmoid(v);
                s[c] = sig * (1.0 + v * (1.0 - sig));
            }
        } else {
            s.fill(1.0);
        }
    }
}

/// `out = g * slope * gamma`, and its per-channel sums, plain and weighted by the normalised values.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn pull(
    g: &[f32],
    slope: &[f32],
    normalised: &[f32],
    gamma: &[f32],
    out: &mut [f32],
    sums: &mut [f32],
    weighted: &mut [f32],
) {
    let width = gamma.len();
    let (sums, weighted) = (&mut sums[..width], &mut weighted[..width]);
    sums.fill(0.0);
    weighted.fill(0.0);
    for (((g, s), n), out) in g
        .chunks_exact(width)
        .zip(slope.chunks_exact(width))
        .zip(normalised.chunks_exact(width))
        .zip(out.chunks_exact_mut(width))
    {
        let (g, s, n, out) = (&g[..width], &s[..width], &n[..width], &mut out[..width]);
        for c in 0..width {
            let d = g[c] * s[c] * gamma[c];
            out[c] = d;
            sums[c] += d;
            weighted[c] += d * n[c];
        }
    }
}

/// `out = (out - a - x * b) * rstd (+ acc)`, where a and b are per channel and include the mean.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn finish(x: &[f32], a: &[f32], b: &[f32], rstd: &[f32], acc: Option<&[f32]>, out: &mut [f32]) {
    let width = a.len();
    let (b, rstd) = (&b[..width], &rstd[..width]);
    for (i, (x, out)) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        let (x, out) = (&x[..width], &mut out[..width]);
        match acc {
            Some(acc) => {
                let acc = &acc[i * width..(i + 1) * width];
                for c in 0..width {
                    out[c] = (out[c] - a[c] - x[c] * b[c]) * rstd[c] + acc[c];
                }
            }
            None => {
                for c in 0..width {
                    out[c] = (out[c] - a[c] - x[c] * b[c]) * rstd[c];
                }
            }
        }
    }
}

/// Means and reciprocal standard deviations per channel, of each sample.
fn spreads(stats: &CpuTensor, width: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
    let groups = stats.shape()[1];
    let per_group = width / groups;
    let of_sample =
        |stats: &[f32]| (0..width).map(|c| (stats[c / per_group * 2], stats[c / per_group * 2 + 1])).unzip();
    stats.data().chunks_exact(groups * 2).map(of_sample).collect()
}

/// The sums of a lane's blocks, from those of each (sample, block), which hold one for every lane of the
/// sample.
fn sums_of_lane<'a>(
    sums: &'a [Vec<BlockSums>],
    lanes: &Lanes,
    lane: usize,
) -> impl Iterator<Item = &'a BlockSums> + Clone + use<'a> {
    let (blocks, sample) = (sums.len() / lanes.samples(), lanes.sample(lane));
    let place = lanes.of_sample(sample).iter().position(|&l| l == lane).unwrap_or_default();
    sums[sample * blocks..(sample + 1) * blocks].iter().map(move |lanes| &lanes[place])
}

/// `a` and `b` of [`finish`] for a lane, per channel: the means over each group of d and of d times the
/// normalised values, from the sums of the lane's blocks.
fn group_means<'a>(
    sums: impl Iterator<Item = &'a BlockSums> + Clone,
    (mean, rstd): &(Vec<f32>, Vec<f32>),
    groups: usize,
    positions: usize,
) -> (Vec<f32>, Vec<f32>) {
    let per_group = mean.len() / groups;
    let size = (positions * per_group) as f64;
    let (mut a, mut b) = (vec![0.0; mean.len()], vec![0.0; mean.len()]);
    for group in 0..groups {
        let channels = group * per_group..(group + 1) * per_group;
        let (mut plain, mut weighted) = (0.0f64, 0.0f64);
        for (s, w) in sums.clone() {
            plain += s[channels.clone()].iter().map(|&v| v as f64).sum::<f64>();
            weighted += w[channels.clone()].iter().map(|&v| v as f64).sum::<f64>();
        }
        for c in channels {
            b[c] = (weighted / size) as f32 * rstd[c];
            a[c] = (plain / size) as f32 - mean[c] * b[c];
        }
    }
    (a, b)
}

pub(super) fn group_norm_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    (x, stats): (&CpuTensor, &CpuTensor),
    affine: Affine<'_, Cpu>,
    silu: bool,
    lanes: &Lanes,
    acc: Option<CpuTensor>,
) -> CpuTensor {
    let (samples, width, stride) = (x.shape()[0], x.width(), x.stride());
    let groups = stats.shape()[1];
    let blocks = (stride / width).div_ceil(ROWS);
    let gamma = affine.gamma.data();
    let mut dx = Buffer::new(&cpu.pool, g.data().len());
    let target = Target::new(&mut dx, stride);
    let block_of = |data: &'_ [f32], index: usize, block: usize| -> std::ops::Range<usize> {
        let start = index * stride + block * ROWS * width;
        start..(start + ROWS * width).min((index + 1) * stride).min(data.len())
    };
    let spreads = spreads(stats, width);
    // Per (sample, block): for each lane of the sample, sums and weighted sums per channel.
    let sums: Vec<Vec<BlockSums>> = (0..samples * blocks)
        .into_par_iter()
        .map(|task| {
            let (sample, block) = (task / blocks, task % blocks);
            if lanes.of_sample(sample).is_empty() {
                return Vec::new();
            }
            let x = &x.data()[block_of(x.data(), sample, block)];
            let (mean, rstd) = &spreads[sample];
            let (mut normalised, mut slope) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let maps = (gamma, affine.beta.data());
            shared(x, (mean, rstd), maps, silu, &mut normalised, &mut slope);
            let lanes = lanes.of_sample(sample).iter();
            lanes
                .map(|&lane| {
                    let range = block_of(g.data(), lane, block);
                    // SAFETY: this block of this lane belongs to this task alone.
                    let out = unsafe {
                        let start = target.at(lane, block * ROWS * width).c;
                        std::slice::from_raw_parts_mut(start, range.len())
                    };
                    let (mut sums, mut weighted) = (vec![0.0; width], vec![0.0; width]);
                    pull(&g.data()[range], &slope, &normalised, gamma, out, &mut sums, &mut weighted);
                    (sums, weighted)
                })
                .collect()
        })
        .collect();
    // dx = rstd * (d - mean(d) - normalised * mean(d * normalised)), means over the group.
    let acc = acc.as_ref();
    let lane_maps: Vec<(Vec<f32>, Vec<f32>)> = (0..lanes.len())
        .into_par_iter()
        .with_min_len(FEW.div_ceil(blocks * groups))
        .map(|lane| {
            let of_lane = sums_of_lane(&sums, lanes, lane);
            group_means(of_lane, &spreads[lanes.sample(lane)], groups, stride / width)
        })
        .collect();
    (0..lanes.len() * blocks).into_par_iter().for_each(|task| {
        let (lane, block) = (task / blocks, task % blocks);
        let sample = lanes.sample(lane);
        let range = block_of(g.data(), lane, block);
        // SAFETY: this block of this lane belongs to this task alone.
        let out =
            unsafe { std::slice::from_raw_parts_mut(target.at(lane, block * ROWS * width).c, range.len()) };
        let x = &x.data()[block_of(x.data(), sample, block)];
        let (a, b) = &lane_maps[lane];
        finish(x, a, b, &spreads[sample].1, acc.map(|t| &t.data()[range]), out);
    });
    CpuTensor::new(g.shape(), dx)
}

/// Adds `g * slope` and `g * slope * normalised` to per-channel sums.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn add_param_sums(g: &[f32], slope: &[f32], normalised: &[f32], gamma: &mut [f32], beta: &mut [f32]) {
    let width = gamma.len();
    let beta = &mut beta[..width];
    for ((g, s), n) in
        g.chunks_exact(width).zip(slope.chunks_exact(width)).zip(normalised.chunks_exact(width))
    {
        let (g, s, n) = (&g[..width], &s[..width], &n[..width]);
        for c in 0..width {
            let d = g[c] * s[c];
            beta[c] += d;
            gamma[c] += d * n[c];
        }
    }
}

pub(super) fn group_norm_vjp_params(
    cpu: &Cpu,
    g: &CpuTensor,
    (x, stats): (&CpuTensor, &CpuTensor),
    affine: Affine<'_, Cpu>,
    silu: bool,
    lanes: &Lanes,
) -> (CpuTensor, CpuTensor) {
    let (samples, width, stride) = (x.shape()[0], x.width(), x.stride());
    let maps = (affine.gamma.data(), affine.beta.data());
    let blocks = (stride / width).div_ceil(ROWS);
    let spreads = spreads(stats, width);
    // Per (sample, block), the sums of each lane of the sample.
    let sums: Vec<Vec<BlockSums>> = (0..samples * blocks)
        .into_par_iter()
        .map(|task| {
            let (sample, start) = (task / blocks, task % blocks * ROWS * width);
            let of = lanes.of_sample(sample);
            if of.is_empty() {
                return Vec::new();
            }
            let x = &x.data()[sample * stride..][start..stride.min(start + ROWS * width)];
            let (mean, rstd) = &spreads[sample];
            let (mut normalised, mut slope) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            shared(x, (mean, rstd), maps, silu, &mut normalised, &mut slope);
            of.iter()
                .map(|&lane| {
                    let g = &g.data()[lane * stride + start..][..x.len()];
                    let (mut gamma, mut beta) = (vec![0.0; width], vec![0.0; width]);
                    add_param_sums(g, &slope, &normalised, &mut gamma, &mut beta);
                    (gamma, beta)
                })
                .collect()
        })
        .collect();
    sum_lanes(cpu, width, lanes, |lane| sums_of_lane(&sums, lanes, lane))
}
