//! Linear layers and their adapters, one inner product at a time.

use super::array::{Array, add_scaled, dot};
use super::{Reference, values};
use crate::{Epilogue, Lanes, LowRank, WeightRef};

type Pair<'a> = LowRank<'a, Reference>;

/// `x W^T + scale * hidden B^T + epilogue`.
pub(super) fn linear(
    x: &Array,
    weight: WeightRef<'_, Reference>,
    low_rank: Option<(&Array, Pair<'_>)>,
    epilogue: Epilogue<'_, Reference>,
) -> Array {
    let weight = values(weight);
    let rows = x.first() * x.positions();
    let mut values = Vec::new();
    for r in 0..rows {
        let mut y: Vec<f64> = (0..weight.first()).map(|o| dot(x.row(r), weight.row(o))).collect();
        if let Some((hidden, pair)) = low_rank {
            for (o, y) in y.iter_mut().enumerate() {
                *y += f64::from(pair.scale) * dot(hidden.row(r), pair.up.row(o));
            }
        }
        values.extend(y);
    }
    add_epilogue(Array::new(&x.with_channels(weight.first()), values), epilogue)
}

/// `x A^T`.
pub(super) fn low_rank(x: &Array, pair: Pair<'_>) -> Array {
    let rank = pair.down.first();
    let rows = 0..x.first() * x.positions();
    let values = rows.flat_map(|r| (0..rank).map(move |i| dot(x.row(r), pair.down.row(i)))).collect();
    Array::new(&x.with_channels(rank), values)
}

/// Adds bias, shift and residual to a product's result.
pub(super) fn add_epilogue(y: Array, epilogue: Epilogue<'_, Reference>) -> Array {
    let (channels, positions) = (y.channels(), y.positions());
    let mut values = y.values().to_vec();
    for (i, value) in values.iter_mut().enumerate() {
        let (row, channel) = (i / channels, i % channels);
        *value += epilogue.bias.map_or(0.0, |b| b.values()[channel]);
        *value += epilogue.shift.map_or(0.0, |s| s.row(row / positions)[channel]);
        *value += epilogue.residual.map_or(0.0, |r| r.row(row)[channel]);
    }
    Array::new(y.shape(), values)
}

/// `g W + h A`.
pub(super) fn linear_vjp(
    g: &Array,
    weight: WeightRef<'_, Reference>,
    low_rank: Option<(&Array, &Array)>,
    acc: Option<Array>,
) -> Array {
    let weight = values(weight);
    let mut values = Vec::new();
    for r in 0..g.first() * g.positions() {
        let mut dx = vec![0.0; weight.channels()];
        for (o, &g) in g.row(r).iter().enumerate() {
            add_scaled(&mut dx, g, weight.row(o));
        }
        if let Some((h, down)) = low_rank {
            for (i, &h) in h.row(r).iter().enumerate() {
                add_scaled(&mut dx, h, down.row(i));
            }
        }
        values.extend(dx);
    }
    Array::new(&g.with_channels(weight.channels()), values).plus_acc(acc)
}

/// The cotangent of `x A^T`: `scale * g B`.
pub(super) fn low_rank_vjp(g: &Array, pair: Pair<'_>) -> Array {
    let rank = pair.up.channels();
    let mut values = vec![0.0; g.first() * g.positions() * rank];
    for (r, hidden) in values.chunks_exact_mut(rank).enumerate() {
        for (o, &g) in g.row(r).iter().enumerate() {
            add_scaled(hidden, f64::from(pair.scale) * g, pair.up.row(o));
        }
    }
    Array::new(&g.with_channels(rank), values)
}

/// Calls `f(objective, row of g, row of x)` for every row of every lane.
pub(super) fn each_row(g: &Array, lanes: &Lanes, mut f: impl FnMut(usize, usize, usize)) {
    let positions = g.positions();
    for k in 0..lanes.objectives() {
        for lane in lanes.of_objective(k) {
            for p in 0..positions {
                f(k, lane * positions + p, lanes.sample(lane) * positions + p);
            }
        }
    }
}

/// Sums of the outer products `g x^T` over each objective's rows, `[K, O, I]`.
pub(super) fn linear_vjp_params(g: &Array, x: &Array, lanes: &Lanes) -> Array {
    let (outputs, inputs) = (g.channels(), x.channels());
    let mut values = vec![0.0; lanes.objectives() * outputs * inputs];
    each_row(g, lanes, |k, row, source| {
        for (o, &g) in g.row(row).iter().enumerate() {
            let start = (k * outputs + o) * inputs;
            add_scaled(&mut values[start..start + inputs], g, x.row(source));
        }
    });
    Array::new(&[lanes.objectives(), outputs, inputs], values)
}

/// Gradients of A, `h^T x`, and of B, `scale * g^T hidden`.
pub(super) fn low_rank_vjp_params(
    (g, h): (&Array, &Array),
    (x, hidden): (&Array, &Array),
    scale: f32,
    lanes: &Lanes,
) -> (Array, Array) {
    let up = linear_vjp_params(g, hidden, lanes);
    let scaled = up.values().iter().map(|v| f64::from(scale) * v).collect();
    (linear_vjp_params(h, x, lanes), Array::new(up.shape(), scaled))
}

/// Sums over each objective's rows, `[K, O]`.
pub(super) fn sum_rows(g: &Array, lanes: &Lanes) -> Array {
    let channels = g.channels();
    let mut values = vec![0.0; lanes.objectives() * channels];
    each_row(g, lanes, |k, row, _| {
        add_scaled(&mut values[k * channels..(k + 1) * channels], 1.0, g.row(row));
    });
    Array::new(&[lanes.objectives(), channels], values)
}

/// Sums over each lane's positions, `[L, O]`.
pub(super) fn sum_positions(g: &Array) -> Array {
    let (positions, channels) = (g.positions(), g.channels());
    let mut values = vec![0.0; g.first() * channels];
    for row in 0..g.first() * positions {
        let start = row / positions * channels;
        add_scaled(&mut values[start..start + channels], 1.0, g.row(row));
    }
    Array::new(&[g.first(), channels], values)
}
