//! Linear layers and their low-rank additions.

use super::buffer::{Buffer, CpuTensor};
use super::microkernel::WIDE;
use super::operands::{Lhs, ProductEpilogue, Rhs, Size, Target};
use super::panels::Panels;
use super::partition::Partition;
use super::product::{SecondProduct, parallel_product, product_into};
use super::weight::{Held, Matrix, trained_forward};
use super::{Cpu, rows_of};
use crate::{Epilogue, Lanes, LowRank, WeightRef};
use rayon::prelude::*;

pub(super) fn linear(
    cpu: &Cpu,
    x: &CpuTensor,
    weight: WeightRef<'_, Cpu>,
    low_rank: Option<(&CpuTensor, LowRank<'_, Cpu>)>,
    epilogue: Epilogue<'_, Cpu>,
) -> CpuTensor {
    let inputs = x.width();
    let rows = rows_of(x);
    let (outputs, matrix) = match weight {
        WeightRef::Frozen(w) => (w.dims().0, w.forward_matrix(cpu)),
        WeightRef::Trained(w) => {
            let outputs = w.shape()[0];
            let panels = trained_forward(&cpu.pool, w.data(), (outputs, inputs, 1));
            (outputs, Matrix::Panels(Held::Made(panels)))
        }
    };
    let mut y = Buffer::new(&cpu.pool, rows * outputs);
    let size = Size { m: rows, k: inputs, n: outputs };
    let adapter = low_rank.map(|(hidden, low_rank)| (hidden, scaled_up(cpu, low_rank)));
    let then = adapter.as_ref().map(|(hidden, up)| SecondProduct {
        a: Lhs::dense(hidden.data(), hidden.width()),
        b: up.rhs(),
        k: hidden.width(),
    });
    parallel_product(
        Lhs::dense(x.data(), inputs),
        matrix.rhs(),
        size,
        &mut y,
        product_epilogue(epilogue, outputs),
        then,
    );
    if let Some(shift) = epilogue.shift {
        add_shift(&mut y, shift);
    }
    CpuTensor::new(&with_width(x, outputs), y)
}

/// The part of a layer's epilogue that its product adds: all but the shift. The result is `width` wide.
pub(super) fn product_epilogue<'a>(epilogue: Epilogue<'a, Cpu>, width: usize) -> ProductEpilogue<'a> {
    ProductEpilogue {
        bias: epilogue.bias.map(|b| b.data()),
        add: epilogue.residual.map(|r| (r.data(), width)),
        accumulate: false,
    }
}

/// A tensor's shape with another last dimension.
fn with_width(tensor: &CpuTensor, width: usize) -> Vec<usize> {
    let middle = &tensor.shape()[..tensor.shape().len() - 1];
    [middle, &[width]].concat()
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

/// `x A^T`, `[N, ..., r]`.
pub(super) fn times_down(cpu: &Cpu, x: &CpuTensor, low_rank: LowRank<'_, Cpu>) -> CpuTensor {
    let rows = rows_of(x);
    let (rank, inputs) = (low_rank.down.shape()[0], low_rank.down.shape()[1]);
    let down = trained_forward(&cpu.pool, low_rank.down.data(), (rank, inputs, 1));
    let mut hidden = Buffer::new(&cpu.pool, rows * rank);
    let size = Size { m: rows, k: inputs, n: rank };
    let a = Lhs::dense(x.data(), inputs);
    parallel_product(a, down.rhs(), size, &mut hidden, ProductEpilogue::default(), None);
    CpuTensor::new(&with_width(x, rank), hidden)
}

/// `scale * B^T` in panels, `[r, O]`.
fn scaled_up(cpu: &Cpu, low_rank: LowRank<'_, Cpu>) -> Panels {
    let (outputs, rank) = (low_rank.up.shape()[0], low_rank.up.shape()[1]);
    Panels::from_columns(&cpu.pool, (rank, outputs), |o, values| {
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
    let columns = Rhs::Dense(&scaled, rank);
    parallel_product(
        Lhs::dense(g.data(), outputs),
        columns,
        size,
        &mut hidden,
        ProductEpilogue::default(),
        None,
    );
    CpuTensor::new(&with_width(g, rank), hidden)
}

pub(super) fn linear_vjp(
    cpu: &Cpu,
    g: &CpuTensor,
    weight: WeightRef<'_, Cpu>,
    low_rank: Option<(&CpuTensor, &CpuTensor)>,
    acc: Option<CpuTensor>,
) -> CpuTensor {
    let outputs = g.width();
    let rows = rows_of(g);
    let held;
    let (inputs, columns) = match weight {
        WeightRef::Frozen(w) => {
            held = w.backward_matrix(cpu);
            (w.dims().1, held.rhs())
        }
        WeightRef::Trained(w) => (w.width(), Rhs::Dense(w.data(), w.width())),
    };
    let accumulate = acc.is_some();
    let mut dx = match acc {
        Some(acc) => acc.into_parts().1,
        None => Buffer::new(&cpu.pool, rows * inputs),
    };
    let size = Size { m: rows, k: outputs, n: inputs };
    let epilogue = ProductEpilogue { accumulate, ..ProductEpilogue::default() };
    let then = low_rank.map(|(hidden, down)| SecondProduct {
        a: Lhs::dense(hidden.data(), hidden.width()),
        b: Rhs::Dense(down.data(), inputs),
        k: hidden.width(),
    });
    parallel_product(Lhs::dense(g.data(), outputs), columns, size, &mut dx, epilogue, then);
    CpuTensor::new(&with_width(g, inputs), dx)
}

/// For each objective the sum over its lanes of `left^T right`, `[K, A, B]`, where `left [.., rows, A]` and
/// `right [.., rows, B]` are indexed by lane or by the lane's sample.
struct OuterProducts<'a> {
    left: Side<'a>,
    right: Side<'a>,
    rows: usize,
    lanes: &'a Lanes,
}

/// One factor.
struct Side<'a> {
    data: &'a [f32],
    width: usize,
    by_sample: bool,
}

impl<'a> Side<'a> {
    /// A factor indexed by lane.
    fn of_lanes(data: &'a [f32], width: usize) -> Self {
        Self { data, width, by_sample: false }
    }

    /// A factor indexed by sample.
    fn of_samples(data: &'a [f32], width: usize) -> Self {
        Self { data, width, by_sample: true }
    }
}

impl OuterProducts<'_> {
    /// Computes a block of an objective's result: `m` rows from `row` on, `n` columns from `column` on.
    ///
    /// # Safety
    /// The target must be valid for the block, and no other thread may access it meanwhile.
    unsafe fn block(
        &self,
        objective: usize,
        (row, m): (usize, usize),
        (column, n): (usize, usize),
        to: &Target,
    ) {
        let Self { left, right, rows, lanes } = self;
        let runs = lanes.runs(objective, usize::MAX);
        for (index, (run, sample)) in runs.iter().enumerate() {
            let k = run.len() * rows;
            let part = |side: &Side<'_>| if side.by_sample { *sample } else { run.start } * rows * side.width;
            let a = &left.data[part(left) + row..][..k * left.width - row];
            let b = &right.data[part(right) + column..][..k * right.width - column];
            let epilogue = ProductEpilogue { accumulate: index > 0, ..ProductEpilogue::default() };
            let (a, b) = (Lhs::transposed(a, left.width), Rhs::Dense(b, right.width));
            // SAFETY: writes the m rows and n columns for which the caller vouches.
            unsafe { product_into(a, b, Size { m, k, n }, to, epilogue) }
        }
        if runs.is_empty() {
            for i in 0..m {
                // SAFETY: row i of those for which the caller vouches.
                unsafe { std::slice::from_raw_parts_mut(to.at(i, 0).c, n) }.fill(0.0);
            }
        }
    }
}

/// Gradient of a trained weight, `[K, O, I]`.
pub(super) fn linear_vjp_params(cpu: &Cpu, g: &CpuTensor, x: &CpuTensor, lanes: &Lanes) -> CpuTensor {
    let (outputs, inputs) = (g.width(), x.width());
    let rows = g.stride() / outputs;
    let objectives = lanes.objectives();
    let (left, right) = (Side::of_lanes(g.data(), outputs), Side::of_samples(x.data(), inputs));
    let products = OuterProducts { left, right, rows, lanes };
    let mut grads = Buffer::new(&cpu.pool, objectives * outputs * inputs);
    let target = Target::new(&mut grads, inputs);
    let partition = Partition::new(outputs, inputs, cpu.threads().div_ceil(objectives.max(1)));
    (0..objectives * partition.tasks()).into_par_iter().with_max_len(1).for_each(|task| {
        let (objective, part) = (task / partition.tasks(), task % partition.tasks());
        let row = part % partition.row_groups * partition.rows;
        let column = part / partition.row_groups * partition.columns;
        let (m, n) = (partition.rows.min(outputs - row), partition.columns.min(inputs - column));
        let target = target.at(objective * outputs + row, column);
        // SAFETY: each task has its own objective and block of a partition of the result.
        unsafe { products.block(objective, (row, m), (column, n), &target) }
    });
    CpuTensor::new(&[objectives, outputs, inputs], grads)
}

/// Columns per task of an adapter's gradients, of `all`: enough tasks for twice the threads, if there are
/// enough columns.
fn strip(all: usize, objectives: usize, threads: usize) -> usize {
    let tasks = (2 * threads).div_ceil(objectives.max(1));
    (all / tasks).next_multiple_of(WIDE).clamp(WIDE, 4 * WIDE)
}

/// Gradients of a low-rank pair: `([K, r, I], [K, O, r])`.
pub(super) fn low_rank_vjp_params(
    cpu: &Cpu,
    (g, h): (&CpuTensor, &CpuTensor),
    (x, hidden): (&CpuTensor, &CpuTensor),
    scale: f32,
    lanes: &Lanes,
) -> (CpuTensor, CpuTensor) {
    let (outputs, inputs, rank) = (g.width(), x.width(), h.width());
    let rows = g.stride() / outputs;
    let objectives = lanes.objectives();
    let (left, right) = (Side::of_lanes(h.data(), rank), Side::of_samples(x.data(), inputs));
    let of_down = OuterProducts { left, right, rows, lanes };
    // B's gradient is computed as its transpose [r, O]: wide tiles instead of narrow ones.
    let (left, right) = (Side::of_samples(hidden.data(), rank), Side::of_lanes(g.data(), outputs));
    let of_up = OuterProducts { left, right, rows, lanes };
    let mut down = Buffer::new(&cpu.pool, objectives * rank * inputs);
    let mut up = Buffer::new(&cpu.pool, objectives * outputs * rank);
    let (to_down, to_up) = (Target::new(&mut down, inputs), Target::new(&mut up, rank));
    let width = strip(inputs + outputs, objectives, cpu.threads());
    let (down_strips, up_strips) = (inputs.div_ceil(width), outputs.div_ceil(width));
    let strips = down_strips + up_strips;
    // Both gradients' strips are one parallel loop, so that threads wait for each other once.
    (0..objectives * strips).into_par_iter().with_max_len(1).for_each(|task| {
        let (objective, strip) = (task / strips, task % strips);
        if strip < down_strips {
            let column = strip * width;
            let to = to_down.at(objective * rank, column);
            // SAFETY: each task has its own objective and columns of the result.
            unsafe { of_down.block(objective, (0, rank), (column, width.min(inputs - column)), &to) }
            return;
        }
        let column = (strip - down_strips) * width;
        let n = width.min(outputs - column);
        let mut transposed = Buffer::new(&cpu.pool, rank * n);
        // SAFETY: the buffer is this task's own and holds `rank` rows of n values.
        unsafe { of_up.block(objective, (0, rank), (column, n), &Target::new(&mut transposed, n)) }
        // SAFETY: each task has its own objective and n rows, from `column` on, of the result.
        let to =
            unsafe { std::slice::from_raw_parts_mut(to_up.at(objective * outputs + column, 0).c, n * rank) };
        for (o, values) in to.chunks_exact_mut(rank.max(1)).enumerate() {
            for (r, value) in values.iter_mut().enumerate() {
                *value = scale * transposed[r * n + o];
            }
        }
    });
    (CpuTensor::new(&[objectives, rank, inputs], down), CpuTensor::new(&[objectives, outputs, rank], up))
}
