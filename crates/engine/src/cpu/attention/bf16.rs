//! Attention whose products have operands of bfloat16. Probabilities and their cotangents are computed in f32
//! and rounded where they are multiplied.
//!
//! Gradients of keys and values are computed as their transposes, `q^T ds` and `g^T p`: scores are then the
//! B of a product, which is packed by interleaving its rows, and need not be transposed.

use super::{Dims, copy_transposed, dot, probabilities, score_cotangents, softmax};
use crate::AttentionSaved;
use crate::cpu::Cpu;
use crate::cpu::bf16::Packed;
use crate::cpu::buffer::{Buffer, CpuTensor};
use crate::cpu::operands::{Lhs, ProductEpilogue, Rhs, Size, Target};
use crate::cpu::product::{product, product_into};

/// Rows of a head, as far apart as the tensor's channels.
fn rows_of_head<'a>(dims: Dims, data: &'a [f32]) -> Lhs<'a> {
    Lhs { data, row: dims.channels, col: 1 }
}

/// Keys or values of a head as columns of B.
fn as_columns(cpu: &Cpu, dims: Dims, data: &[f32]) -> Packed {
    let d = dims.head();
    Packed::from_columns(&cpu.pool, (d, dims.keys), |j| &data[j * dims.channels..][..d])
}

/// The same as rows of B.
fn as_rows(cpu: &Cpu, dims: Dims, data: &[f32]) -> Packed {
    let d = dims.head();
    Packed::from_rows(&cpu.pool, (dims.keys, d), |i| &data[i * dims.channels..][..d])
}

/// Queries `part` of a head of a sample: the outputs, and the log-denominators.
///
/// # Safety
/// The targets, of whole results, must be valid, and no other thread may access these queries of the head.
pub(super) unsafe fn attend(
    cpu: &Cpu,
    [q, k, v]: [&CpuTensor; 3],
    dims: Dims,
    (n, h): (usize, usize),
    part: std::ops::Range<usize>,
    [out, logs]: [&Target; 2],
) {
    let Dims { queries, keys, .. } = dims;
    let (d, row, block) = (dims.head(), dims.row(), dims.block());
    let key_columns = as_columns(cpu, dims, dims.of(k.data(), keys, n, h, 0));
    let value_rows = as_rows(cpu, dims, dims.of(v.data(), keys, n, h, 0));
    let mut scores = Buffer::new(&cpu.pool, block * row);
    for first in part.clone().step_by(block) {
        let rows = block.min(part.end - first);
        let scores = &mut scores[..rows * row];
        let q = rows_of_head(dims, dims.of(q.data(), queries, n, h, first));
        let size = Size { m: rows, k: d, n: row };
        product(q, Rhs::Pairs(key_columns.columns()), size, scores, row, ProductEpilogue::default());
        // SAFETY: these queries of the head are the caller's.
        let logs = unsafe { std::slice::from_raw_parts_mut(logs.at(n * dims.heads + h, first).c, rows) };
        softmax(scores, dims, dims.visible(first), logs);
        let (scores, values) = (Lhs::dense(scores, row), Rhs::Pairs(value_rows.columns()));
        let size = Size { m: rows, k: keys, n: d };
        let target = out.at(n * queries + first, h * d);
        // SAFETY: the head's columns of these rows are the caller's.
        unsafe { product_into(scores, values, size, &target, ProductEpilogue::default()) }
    }
}

/// Cotangents of a head's queries, keys and values for some lanes of a sample.
///
/// # Safety
/// The targets, of whole results, must be valid, and no other thread may access the head's columns of these
/// lanes.
pub(super) unsafe fn attend_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    saved: AttentionSaved<'_, Cpu>,
    dims: Dims,
    (n, h): (usize, usize),
    lanes: &[usize],
    [to_queries, to_keys, to_values]: &[Target; 3],
) {
    let Dims { queries, keys, channels, .. } = dims;
    let (d, row, block) = (dims.head(), dims.row(), dims.block());
    let AttentionSaved { q, k, v, out, log_sum } = saved;
    let key_columns = as_columns(cpu, dims, dims.of(k.data(), keys, n, h, 0));
    let value_columns = as_columns(cpu, dims, dims.of(v.data(), keys, n, h, 0));
    let key_rows = as_rows(cpu, dims, dims.of(k.data(), keys, n, h, 0));
    let buffer = |len: usize| Buffer::new(&cpu.pool, len);
    let (mut p, mut ds, mut dots) = (buffer(block * row), buffer(block * row), buffer(block));
    let (mut q_transposed, mut g_transposed) = (buffer(d * block), buffer(lanes.len() * d * block));
    let (mut dk, mut dv) = (buffer(lanes.len() * d * row), buffer(lanes.len() * d * row));
    let mut packed = Packed::new(&cpu.pool, (block, row));
    for first in (0..queries).step_by(block) {
        let rows = block.min(queries - first);
        let (p, ds, dots) = (&mut p[..rows * row], &mut ds[..rows * row], &mut dots[..rows]);
        let q_rows = rows_of_head(dims, dims.of(q.data(), queries, n, h, first));
        let scores = Size { m: rows, k: d, n: row };
        let plain = ProductEpilogue::default();
        product(q_rows, Rhs::Pairs(key_columns.columns()), scores, p, row, plain);
        let log_sum = &log_sum.data()[(n * dims.heads + h) * queries + first..][..rows];
        probabilities(p, dims, dims.visible(first), log_sum);
        copy_transposed(q_rows, (rows, d), &mut q_transposed, rows);
        let later = ProductEpilogue { accumulate: first > 0, ..plain };
        for (place, &lane) in lanes.iter().enumerate() {
            let g_rows = rows_of_head(dims, dims.of(g.data(), queries, lane, h, first));
            copy_transposed(g_rows, (rows, d), &mut g_transposed[place * d * rows..], rows);
            let o = dims.of(out.data(), queries, n, h, first);
            for (i, dot_of_row) in dots.iter_mut().enumerate() {
                *dot_of_row = dot(&g_rows.data[i * channels..][..d], &o[i * channels..][..d]);
            }
            product(g_rows, Rhs::Pairs(value_columns.columns()), scores, ds, row, plain);
            score_cotangents(ds, p, dims, dots);
            let dq = to_queries.at(lane * queries + first, h * d);
            let size = Size { m: rows, k: keys, n: d };
            let key_rows = Rhs::Pairs(key_rows.columns());
            // SAFETY: the head's columns of this lane are the caller's.
            unsafe { product_into(Lhs::dense(ds, row), key_rows, size, &dq, plain) }
            packed.pack_rows((rows, row), |i| &ds[i * row..]);
            let size = Size { m: d, k: rows, n: row };
            let dk = &mut dk[place * d * row..];
            product(Lhs::dense(&q_transposed, rows), Rhs::Pairs(packed.columns()), size, dk, row, later);
        }
        packed.pack_rows((rows, row), |i| &p[i * row..]);
        let size = Size { m: lanes.len() * d, k: rows, n: row };
        product(Lhs::dense(&g_transposed, rows), Rhs::Pairs(packed.columns()), size, &mut dv, row, later);
    }
    for (place, &lane) in lanes.iter().enumerate() {
        for (gradient, to) in [(&dk, to_keys), (&dv, to_values)] {
            let gradient = Lhs::dense(&gradient[place * d * row..], row);
            for i in 0..keys {
                // SAFETY: the head's columns of this lane's keys are the caller's.
                let out = unsafe { std::slice::from_raw_parts_mut(to.at(lane * keys + i, h * d).c, d) };
                for (c, out) in out.iter_mut().enumerate() {
                    *out = gradient.data[c * gradient.row + i];
                }
            }
        }
    }
}
