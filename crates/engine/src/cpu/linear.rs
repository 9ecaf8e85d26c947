//! Linear layers and their low-rank additions.

use super::buffer::{Buffer, CpuTensor};
use super::product::{Columns, Deal, Extra, Rows, Size, Target, Then, parallel_product, product_into};
use super::weight::{Held, Matrix, trained_forward};
use super::{Cpu, rows_of};
use crate::{Kernel, Lanes, LowRank, Plus};
use rayon::prelude::*;

pub(super) fn linear(
    cpu: &Cpu,
    x: &CpuTensor,
    weight: Kernel<'_, Cpu>,
    low_rank: Option<LowRank<'_, Cpu>>,
    plus: Plus<'_, Cpu>,
) -> CpuTensor {
    let inputs = x.width();
    let rows = rows_of(x);
    let (outputs, columns) = match weight {
        Kernel::Frozen(w) => (w.dims().0, w.forward_matrix(&cpu.pool)),
        Kernel::Trained(w) => {
            let outputs = w.shape()[0];
            let panels = trained_forward(&cpu.pool, w.data(), (outputs, inputs, 1));
            (outputs, Matrix::Panels(Held::Made(panels)))
        }
    };
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    let mut y = Buffer::new(&cpu.pool, rows * outputs);
    let size = Size { m: rows, k: inputs, n: outputs };
    let extra = Extra {
        bias: plus.bias.map(|b| b.data()),
        add: plus.residual.map(|r| (r.data(), outputs)),
        accumulate: false,
    };
    let adapter = low_rank.map(|low_rank| {
        let hidden = times_down(cpu, x.data(), rows, low_rank);
        (low_rank.down.shape()[0], hidden, scaled_up(cpu, low_rank))
    });
    let then = adapter.as_ref().map(|(rank, hidden, up)| Then {
        a: Rows::dense(hidden, *rank),
        b: up.columns(),
        k: *rank,
    });
    parallel_product(Rows::dense(x.data(), inputs), columns.columns(), size, &mut y, extra, then);
    if let Some(shift) = plus.shift {
        add_shift(&mut y, shift);
    }
    CpuTensor::new(&shape, y)
}

/// Adds `shift [N, O]` to all rows of each sample.
pub(super) fn add_shift(y: &mut [f32], shift: &CpuTensor) {
    let width = shift.width();
    let samples = shift.shape()[0];
    let per_sample = y.len() / samples / width;
    y.par_chunks_mut(width).with_min_len(32).enumerate().for_each(|(row, values)| {
        let shift = &shift.data()[row / per_sample * width..][..width];
        for (value, shift) in values.iter_mut().zip(shift) {
            *value += shift;
        }
    });
}

/// `x A^T`, `[rows, r]`.
fn times_down(cpu: &Cpu, x: &[f32], rows: usize, low_rank: LowRank<'_, Cpu>) -> Buffer {
    let (rank, inputs) = (low_rank.down.shape()[0], low_rank.down.shape()[1]);
    let down = trained_forward(&cpu.pool, low_rank.down.data(), (rank, inputs, 1));
    let mut hidden = Buffer::new(&cpu.pool, rows * rank);
    let size = Size { m: rows, k: inputs, n: rank };
    parallel_product(Rows::dense(x, inputs), down.columns(), size, &mut hidden, Extra::default(), None);
    hidden
}

/// `scale * B^T` in panels, `[r, O]`.
fn scaled_up(cpu: &Cpu, low_rank: LowRank<'_, Cpu>) -> super::product::Panels {
    let (outputs, rank) = (low_rank.up.shape()[0], low_rank.up.shape()[1]);
    super::product::Panels::from_columns(&cpu.pool, (rank, outputs), |o, values| {
        for (value, b) in values.iter_mut().zip(&low_rank.up.data()[o * rank..]) {
            *value = low_rank.scale * b;
        }
    })
}

/// `scale * g B`, `[L, ..., r]`.
pub(super) fn times_up(cpu: &Cpu, g: &CpuTensor, low_rank: LowRank<'_, Cpu>) -> CpuTensor {
    let rows = rows_of(g);
    let (outputs, rank) = (low_rank.up.shape()[0], low_rank.up.shape()[1]);
    let mut scaled = Buffer::new(&cpu.pool, outputs * rank);
    for (s, b) in scaled.iter_mut().zip(low_rank.up.data()) {
        *s = low_rank.scale * b;
    }
    let mut hidden = Buffer::new(&cpu.pool, rows * rank);
    let size = Size { m: rows, k: outputs, n: rank };
    let columns = Columns::Dense(&scaled, rank);
    parallel_product(Rows::dense(g.data(), outputs), columns, size, &mut hidden, Extra::default(), None);
    let mut shape = g.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = rank;
    }
    CpuTensor::new(&shape, hidden)
}

pub(super) fn linear_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    weight: Kernel<'_, Cpu>,
    low_rank: Option<(&CpuTensor, &CpuTensor)>,
    acc: Option<CpuTensor>,
) -> CpuTensor {
    let outputs = g.width();
    let rows = rows_of(g);
    let held;
    let (inputs, columns) = match weight {
        Kernel::Frozen(w) => {
            held = w.backward_matrix(&cpu.pool);
            (w.dims().1, held.columns())
        }
        Kernel::Trained(w) => (w.width(), Columns::Dense(w.data(), w.width())),
    };
    let mut shape = g.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = inputs;
    }
    let accumulate = acc.is_some();
    let mut dx = match acc {
        Some(acc) => acc.into_parts().1,
        None => Buffer::new(&cpu.pool, rows * inputs),
    };
    let size = Size { m: rows, k: outputs, n: inputs };
    let extra = Extra { accumulate, ..Extra::default() };
    let then = low_rank.map(|(hidden, down)| Then {
        a: Rows::dense(hidden.data(), hidden.width()),
        b: Columns::Dense(down.data(), inputs),
        k: hidden.width(),
    });
    parallel_product(Rows::dense(g.data(), outputs), columns, size, &mut dx, extra, then);
    CpuTensor::new(&shape, dx)
}

/// `[K, A, B]`: for each objective the sum over its lanes of `left^T right`, where `left [L, rows, A]` goes by
/// lane and `right` by lane or by the lane's sample.
fn outer_products(
    cpu: &Cpu,
    (left, a): (&[f32], usize),
    (right, b): (&[f32], usize),
    rows: usize,
    right_by_sample: bool,
    left_by_sample: bool,
    lanes: &Lanes,
) -> Buffer {
    let objectives = lanes.objectives();
    let mut out = Buffer::new(&cpu.pool, objectives * a * b);
    let target = Target::new(&mut out, b);
    let deal = Deal::new(a, b, cpu.threads().div_ceil(objectives.max(1)));
    (0..objectives * deal.tasks()).into_par_iter().with_max_len(1).for_each(|task| {
        let (objective, part) = (task / deal.tasks(), task % deal.tasks());
        let row = part % deal.row_groups * deal.rows;
        let column = part / deal.row_groups * deal.columns;
        let size = Size { m: deal.rows.min(a - row), k: 0, n: deal.columns.min(b - column) };
        let target = target.at(objective * a + row, column);
        let runs = lanes.runs(objective, usize::MAX);
        for (index, (run, sample)) in runs.iter().enumerate() {
            let of = |by_sample: bool| if by_sample { *sample } else { run.start };
            let size = Size { k: run.len() * rows, ..size };
            let left = &left[of(left_by_sample) * rows * a + row..][..size.k * a - row];
            let right = &right[of(right_by_sample) * rows * b + column..][..size.k * b - column];
            let extra = Extra { accumulate: index > 0, ..Extra::default() };
            // SAFETY: tasks write disjoint blocks of the result.
            unsafe {
                product_into(Rows::transposed(left, a), Columns::Dense(right, b), size, &target, extra);
            }
        }
        if runs.is_empty() {
            for i in 0..size.m {
                // SAFETY: as above.
                unsafe { std::slice::from_raw_parts_mut(target.at(i, 0).c, size.n) }.fill(0.0);
            }
        }
    });
    out
}

pub(super) fn linear_vjp_params(cpu: &Cpu, g: &CpuTensor, x: &CpuTensor, lanes: &Lanes) -> CpuTensor {
    let (outputs, inputs) = (g.width(), x.width());
    let rows = g.stride() / outputs;
    let grads = outer_products(cpu, (g.data(), outputs), (x.data(), inputs), rows, true, false, lanes);
    CpuTensor::new(&[lanes.objectives(), outputs, inputs], grads)
}

pub(super) fn low_rank_vjp_params(
    cpu: &Cpu,
    g: &CpuTensor,
    hidden_cotangent: &CpuTensor,
    x: &CpuTensor,
    low_rank: LowRank<'_, Cpu>,
    lanes: &Lanes,
) -> (CpuTensor, CpuTensor) {
    let (outputs, inputs) = (g.width(), x.width());
    let rank = low_rank.down.shape()[0];
    let rows = g.stride() / outputs;
    let objectives = lanes.objectives();
    let down =
        outer_products(cpu, (hidden_cotangent.data(), rank), (x.data(), inputs), rows, true, false, lanes);
    // B's gradient is made as its transpose [r, O]: wide tiles instead of narrow ones.
    let hidden = times_down(cpu, x.data(), rows_of(x), low_rank);
    let up = outer_products(cpu, (&hidden, rank), (g.data(), outputs), rows, false, true, lanes);
    let mut turned = Buffer::new(&cpu.pool, objectives * outputs * rank);
    for (from, to) in up.chunks_exact(rank * outputs).zip(turned.chunks_exact_mut(rank * outputs)) {
        for (o, values) in to.chunks_exact_mut(rank).enumerate() {
            for (r, value) in values.iter_mut().enumerate() {
                *value = low_rank.scale * from[r * outputs + o];
            }
        }
    }
    (CpuTensor::new(&[objectives, rank, inputs], down), CpuTensor::new(&[objectives, outputs, rank], turned))
}
