//! Attention, one (sample, head) at a time, in blocks of queries whose scores fit the second-level cache.
//!
//! The probabilities are never stored: the backward pass recomputes them from the saved log-denominators,
//! once for all lanes of a sample (Dao et al. 2022 call this recomputation; the lanes are ours).

mod bf16;

use super::Cpu;
use super::buffer::{Buffer, CpuTensor};
use super::math::exp;
use super::microkernel::{MR, NR};
use super::operands::{Lhs, ProductEpilogue, Rhs, Size, Target};
use super::packing::pack_columns;
use super::product::{product, product_into};
use crate::{AttentionSaved, Lanes};
use multiversion::multiversion;
use rayon::prelude::*;

/// Scores of a block, in values (128 KiB): two such blocks and their operands fit the second-level cache.
const BLOCK: usize = 1 << 15;

/// Minimum queries of a block, however long their rows (unless there are fewer): gradients of keys and values
/// are accumulated once per block.
const LEAST: usize = 128;

/// Minimum queries of a task.
const FEW: usize = 64;

/// Sizes of one attention.
#[derive(Clone, Copy)]
struct Dims {
    samples: usize,
    queries: usize,
    keys: usize,
    channels: usize,
    heads: usize,
    causal: bool,
}

impl Dims {
    fn new(q: &CpuTensor, k: &CpuTensor, heads: usize, causal: bool) -> Self {
        let [samples, queries, channels] = *q.shape() else {
            panic!("queries are [N, T, C], not {:?}", q.shape())
        };
        assert_eq!(channels % heads, 0, "{channels} channels in {heads} heads");
        Self { samples, queries, keys: k.shape()[1], channels, heads, causal }
    }

    fn head(&self) -> usize {
        self.channels / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head() as f32).sqrt()
    }

    /// Position of a block's first query under causal masking, none without it.
    fn visible(&self, first: usize) -> Option<usize> {
        self.causal.then_some(first)
    }

    /// Distance between rows of scores: panels of keys are padded to it.
    fn row(&self) -> usize {
        self.keys.next_multiple_of(LANES)
    }

    fn block(&self) -> usize {
        (BLOCK / self.keys.max(1)).max(LEAST).min(self.queries)
    }

    /// The values of a head of `data [N, tokens, C]` from one of its tokens on.
    fn of<'a>(&self, data: &'a [f32], tokens: usize, index: usize, head: usize, token: usize) -> &'a [f32] {
        &data[(index * tokens + token) * self.channels + head * self.head()..]
    }
}

/// Splits a buffer into consecutive parts.
fn parts<const N: usize>(mut data: &mut [f32], lengths: [usize; N]) -> [&mut [f32]; N] {
    lengths.map(|length| data.split_off_mut(..length).expect("a buffer for all parts"))
}

/// Copies a head `[rows, d]` to rows `distance` apart. In the tensor they are as far apart as its channels,
/// which maps them to few cache sets.
fn copy_head(dims: Dims, data: &[f32], rows: usize, out: &mut [f32], distance: usize) {
    let d = dims.head();
    for (i, out) in out.chunks_mut(distance).enumerate().take(rows) {
        out[..d].copy_from_slice(&data[i * dims.channels..][..d]);
    }
}

/// Length of a head's packed transpose.
fn transposed_len(dims: Dims, tokens: usize) -> usize {
    tokens.next_multiple_of(NR) * dims.head()
}

/// The transpose of a head `[tokens, d]` in panels, `[d][16]` each.
fn transpose_head(dims: Dims, data: &[f32], tokens: usize, out: &mut [f32]) {
    let d = dims.head();
    for (panel, out) in out.chunks_exact_mut(NR * d).enumerate() {
        pack_columns(d, NR.min(tokens - panel * NR), out, |j, values| {
            values.copy_from_slice(&data[(panel * NR + j) * dims.channels..][..d]);
        });
    }
}

/// Copies the transpose of `[rows, d]` to rows `distance` apart.
fn copy_transposed(from: Lhs<'_>, (rows, d): (usize, usize), out: &mut [f32], distance: usize) {
    for i in 0..rows {
        for (c, &value) in from.data[i * from.row..][..d].iter().enumerate() {
            out[c * distance + i] = value;
        }
    }
}

/// Copies rows of `d` values, `distance` apart, to a head's columns of a result.
///
/// # Safety
/// The target must be valid for the rows, and no other thread may access them meanwhile.
unsafe fn scatter_rows(data: &[f32], d: usize, distance: usize, to: &Target) {
    for (i, row) in data.chunks(distance).enumerate() {
        // SAFETY: row i of those for which the caller vouches.
        unsafe { std::slice::from_raw_parts_mut(to.at(i, 0).c, d) }.copy_from_slice(&row[..d]);
    }
}

/// SIMD lanes that rows of scores are processed in. Rows are padded to a multiple of it: value by value, the
/// last 13 of 77 tokens would take longer than the other 64.
const LANES: usize = 16;

/// Number of keys that a row sees.
fn seen(keys: usize, visible: Option<usize>, row: usize) -> usize {
    visible.map_or(keys, |first| (first + row + 1).min(keys))
}

/// The lanes of a row that are wholly visible, and the rest, whose first values may be.
fn lanes_seen(row: &mut [f32], seen: usize) -> (&mut [[f32; LANES]], &mut [[f32; LANES]]) {
    row.as_chunks_mut().0.split_at_mut(seen / LANES)
}

/// `value` of the first `count` of a row's partly visible lanes, `other` for the rest.
#[inline(always)]
fn edge(lanes: &[[f32; LANES]], count: usize, other: f32, value: impl Fn(f32) -> f32) -> [f32; LANES] {
    let mut edge = [other; LANES];
    if let Some(lanes) = lanes.first() {
        for (j, (edge, &v)) in edge.iter_mut().zip(lanes).enumerate() {
            let value = value(v);
            *edge = if j < count { value } else { other };
        }
    }
    edge
}

/// Writes a row's last lanes: the partly visible ones, then zeros.
#[inline(always)]
fn finish(lanes: &mut [[f32; LANES]], edge: [f32; LANES]) {
    for (i, lanes) in lanes.iter_mut().enumerate() {
        *lanes = if i == 0 { edge } else { [0.0; LANES] };
    }
}

/// Softmax of `scale * s` row by row, in place; returns the log-denominators.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn softmax(s: &mut [f32], dims: Dims, visible: Option<usize>, log_sum: &mut [f32]) {
    let scale = dims.scale();
    for (i, (row, log_sum)) in s.chunks_exact_mut(dims.row()).zip(log_sum).enumerate() {
        let seen = seen(dims.keys, visible, i);
        let (lanes, rest) = lanes_seen(row, seen);
        let last = edge(rest, seen % LANES, f32::NEG_INFINITY, |v| v);
        let mut tops = last;
        for lanes in lanes.iter() {
            for (t, v) in tops.iter_mut().zip(lanes) {
                *t = if *v > *t { *v } else { *t };
            }
        }
        let top = tops.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        let last = edge(&[last], seen % LANES, 0.0, |v| exp((v - top) * scale));
        let mut sums = last;
        for lanes in lanes.iter_mut() {
            for (sum, v) in sums.iter_mut().zip(lanes) {
                *v = exp((*v - top) * scale);
                *sum += *v;
            }
        }
        let sum: f32 = sums.iter().sum();
        let inverse = 1.0 / sum;
        for v in lanes.as_flattened_mut() {
            *v *= inverse;
        }
        finish(rest, last.map(|v| v * inverse));
        *log_sum = top * scale + sum.ln();
    }
}

/// Recomputes probabilities from scores and log-denominators, in place.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn probabilities(s: &mut [f32], dims: Dims, visible: Option<usize>, log_sum: &[f32]) {
    let scale = dims.scale();
    for (i, (row, log_sum)) in s.chunks_exact_mut(dims.row()).zip(log_sum).enumerate() {
        let seen = seen(dims.keys, visible, i);
        let (lanes, rest) = lanes_seen(row, seen);
        for v in lanes.as_flattened_mut() {
            *v = exp(*v * scale - log_sum);
        }
        let last = edge(rest, seen % LANES, 0.0, |v| exp(v * scale - log_sum));
        finish(rest, last);
    }
}

/// `dp <- p * (dp - dot) * scale`, where `dot` is the row's `g . out`.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn score_cotangents(dp: &mut [f32], p: &[f32], dims: Dims, dots: &[f32]) {
    let (row, scale) = (dims.row(), dims.scale());
    for ((dp, p), dot) in dp.chunks_exact_mut(row).zip(p.chunks_exact(row)).zip(dots) {
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - dot) * scale;
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for j in 0..16 {
            sums[j] += a[j] * b[j];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

pub(super) fn attention(
    cpu: &Cpu,
    [q, k, v]: [&CpuTensor; 3],
    heads: usize,
    causal: bool,
) -> (CpuTensor, CpuTensor) {
    let dims = Dims::new(q, k, heads, causal);
    let Dims { samples, queries, keys, channels, .. } = dims;
    let (d, block) = (dims.head(), dims.block());
    let mut out = Buffer::new(&cpu.pool, q.data().len());
    let mut log_sum = Buffer::new(&cpu.pool, samples * heads * queries);
    let target = Target::new(&mut out, channels);
    // Where heads are fewer than threads, each head's queries are divided as well.
    let shares = cpu.threads().div_ceil(samples * heads).min(queries.div_ceil(FEW));
    let share = queries.div_ceil(shares).next_multiple_of(MR);
    let shares = queries.div_ceil(share);
    let logs = Target::new(&mut log_sum, queries);
    let row = dims.row();
    let lengths = [transposed_len(dims, keys), keys * d, block * d, block * row];
    (0..samples * heads * shares).into_par_iter().with_max_len(1).for_each(|task| {
        let (index, part) = (task / shares, task % shares);
        let (n, h) = (index / heads, index % heads);
        let part = part * share..queries.min((part + 1) * share);
        if cpu.bf16 {
            // SAFETY: these queries of the head belong to this task alone.
            return unsafe { bf16::attend(cpu, [q, k, v], dims, (n, h), part, [&target, &logs]) };
        }
        let mut scratch = Buffer::new(&cpu.pool, lengths.iter().sum());
        let [transposed, values, q_rows, scores] = parts(&mut scratch, lengths);
        transpose_head(dims, dims.of(k.data(), keys, n, h, 0), keys, transposed);
        copy_head(dims, dims.of(v.data(), keys, n, h, 0), keys, values, d);
        let values = Rhs::Dense(values, d);
        let transposed = Rhs::Panels { data: transposed, depth: d, start: 0 };
        for first in part.clone().step_by(block) {
            let rows = block.min(part.end - first);
            let scores = &mut scores[..rows * row];
            copy_head(dims, dims.of(q.data(), queries, n, h, first), rows, q_rows, d);
            let size = Size { m: rows, k: d, n: row };
            product(Lhs::dense(q_rows, d), transposed, size, scores, row, ProductEpilogue::default());
            // SAFETY: these queries of the head belong to this task alone.
            let logs = unsafe { std::slice::from_raw_parts_mut(logs.at(index, first).c, rows) };
            softmax(scores, dims, dims.visible(first), logs);
            let target = target.at(n * queries + first, h * d);
            let size = Size { m: rows, k: keys, n: d };
            // SAFETY: the head's columns of these rows belong to this task alone.
            unsafe {
                product_into(Lhs::dense(scores, row), values, size, &target, ProductEpilogue::default())
            }
        }
    });
    (CpuTensor::new(q.shape(), out), CpuTensor::new(&[samples, heads, queries], log_sum))
}

/// Tasks of a backward pass: the index of a (sample, head), and lanes of that sample. A task takes all of
/// them, which share the probabilities (one product of five); where heads are few for the threads, one lane
/// per task finishes sooner.
fn head_tasks(lanes: &Lanes, heads: usize, threads: usize) -> Vec<(usize, &[usize])> {
    let samples = lanes.samples();
    let most = (0..samples).map(|n| lanes.of_sample(n).len()).max().unwrap_or_default();
    let turns = |tasks: usize| tasks.div_ceil(threads);
    let together = turns(samples * heads) * (4 * most + 1) <= turns(lanes.len() * heads) * 5;
    let mut tasks: Vec<(usize, &[usize])> = Vec::new();
    for n in 0..samples {
        for shared in lanes.of_sample(n).chunks(if together { most.max(1) } else { 1 }) {
            tasks.extend((n * heads..(n + 1) * heads).map(|index| (index, shared)));
        }
    }
    tasks
}

pub(super) fn attention_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    saved: AttentionSaved<'_, Cpu>,
    heads: usize,
    causal: bool,
    lanes: &Lanes,
) -> [CpuTensor; 3] {
    let AttentionSaved { q, k, v, out, log_sum } = saved;
    let dims = Dims::new(q, k, heads, causal);
    let Dims { queries, keys, channels, .. } = dims;
    let (d, block) = (dims.head(), dims.block());
    let mut dq = Buffer::new(&cpu.pool, lanes.len() * queries * channels);
    let mut dk = Buffer::new(&cpu.pool, lanes.len() * keys * channels);
    let mut dv = Buffer::new(&cpu.pool, lanes.len() * keys * channels);
    let targets = [&mut dq, &mut dk, &mut dv].map(|b| Target::new(b, channels));
    head_tasks(lanes, heads, cpu.threads()).into_par_iter().with_max_len(1).for_each(|(index, shared)| {
        let (n, h) = (index / heads, index % heads);
        if cpu.bf16 {
            // SAFETY: the head's columns of these lanes belong to this task alone.
            return unsafe { bf16::attend_vjp(cpu, g, saved, dims, (n, h), shared, &targets) };
        }
        // The lanes' own values are side by side: one product with the probabilities for all of them.
        let side = shared.len() * d;
        let transposed = transposed_len(dims, keys);
        let row = dims.row();
        let (pairs, sums) = (block * row, keys * side);
        let lengths =
            [transposed, transposed, keys * d, block * d, block * side, pairs, pairs, sums, sums, block];
        let mut scratch = Buffer::new(&cpu.pool, lengths.iter().sum());
        let [k_transposed, v_transposed, k_rows, q_rows, g_rows, p, ds, dk, dv, dots] =
            parts(&mut scratch, lengths);
        transpose_head(dims, dims.of(k.data(), keys, n, h, 0), keys, k_transposed);
        transpose_head(dims, dims.of(v.data(), keys, n, h, 0), keys, v_transposed);
        copy_head(dims, dims.of(k.data(), keys, n, h, 0), keys, k_rows, d);
        let k_transposed = Rhs::Panels { data: k_transposed, depth: d, start: 0 };
        let v_transposed = Rhs::Panels { data: v_transposed, depth: d, start: 0 };
        let k_rows = Rhs::Dense(k_rows, d);
        let [to_queries, to_keys, to_values] = &targets;
        for first in (0..queries).step_by(block) {
            let rows = block.min(queries - first);
            let (p, ds, dots) = (&mut p[..rows * row], &mut ds[..rows * row], &mut dots[..rows]);
            copy_head(dims, dims.of(q.data(), queries, n, h, first), rows, q_rows, d);
            let scores = Size { m: rows, k: d, n: row };
            product(Lhs::dense(q_rows, d), k_transposed, scores, p, row, ProductEpilogue::default());
            let log_sum = &log_sum.data()[index * queries + first..][..rows];
            probabilities(p, dims, dims.visible(first), log_sum);
            let later = ProductEpilogue { accumulate: first > 0, ..ProductEpilogue::default() };
            for (place, &lane) in shared.iter().enumerate() {
                let g_rows = &mut g_rows[place * d..];
                copy_head(dims, dims.of(g.data(), queries, lane, h, first), rows, g_rows, side);
                let o = dims.of(out.data(), queries, n, h, first);
                for (i, (dot_of_row, g)) in dots.iter_mut().zip(g_rows.chunks(side)).enumerate() {
                    *dot_of_row = dot(&g[..d], &o[i * channels..][..d]);
                }
                product(Lhs::dense(g_rows, side), v_transposed, scores, ds, row, ProductEpilogue::default());
                score_cotangents(ds, p, dims, dots);
                let dq = to_queries.at(lane * queries + first, h * d);
                let size = Size { m: rows, k: keys, n: d };
                // SAFETY: the head's columns of this lane belong to this task alone.
                unsafe { product_into(Lhs::dense(ds, row), k_rows, size, &dq, ProductEpilogue::default()) }
                let size = Size { m: keys, k: rows, n: d };
                let dk = &mut dk[place * d..];
                product(Lhs::transposed(ds, row), Rhs::Dense(q_rows, d), size, dk, side, later);
            }
            let size = Size { m: keys, k: rows, n: side };
            product(Lhs::transposed(p, row), Rhs::Dense(g_rows, side), size, dv, side, later);
        }
        for (place, &lane) in shared.iter().enumerate() {
            // SAFETY: the head's columns of this lane's keys belong to this task alone.
            unsafe {
                scatter_rows(&dk[place * d..], d, side, &to_keys.at(lane * keys, h * d));
                scatter_rows(&dv[place * d..], d, side, &to_values.at(lane * keys, h * d));
            }
        }
    });
    let queries_shape = [lanes.len(), queries, channels];
    let keys_shape = [lanes.len(), keys, channels];
    [CpuTensor::new(&queries_shape, dq), CpuTensor::new(&keys_shape, dk), CpuTensor::new(&keys_shape, dv)]
}
