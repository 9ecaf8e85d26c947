//! Group and layer normalisation. Both normalise *sets* of values that share one mean and deviation; they
//! differ only in which set a value belongs to.

use super::Reference;
use super::array::Array;
use super::pointwise::{silu, silu_slope};
use crate::{Affine, Lanes};

/// Which values share statistics.
#[derive(Clone, Copy)]
pub(super) enum Sets {
    /// All positions of one sample and `channels / groups` neighbouring channels.
    Groups(usize),
    /// One row.
    Rows,
}

impl Sets {
    /// Number of sets in one sample of `x`.
    fn per_sample(self, x: &Array) -> usize {
        match self {
            Sets::Groups(groups) => groups,
            Sets::Rows => x.positions(),
        }
    }

    /// Indices, within one sample, of the values of set `s`.
    fn members(self, x: &Array, s: usize) -> Vec<usize> {
        let (positions, channels) = (x.positions(), x.channels());
        match self {
            Sets::Groups(groups) => {
                let width = channels / groups;
                (0..positions)
                    .flat_map(|p| (s * width..(s + 1) * width).map(move |c| p * channels + c))
                    .collect()
            }
            Sets::Rows => (s * channels..(s + 1) * channels).collect(),
        }
    }
}

/// `(x - mean) / sqrt(var + eps) * gamma + beta`, then SiLU if asked; and the means and reciprocal
/// deviations.
pub(super) fn norm(x: &Array, sets: Sets, affine: Affine<'_, Reference>, with_silu: bool) -> (Array, Array) {
    let mut values = vec![0.0; x.values().len()];
    let mut stats = Vec::new();
    for n in 0..x.first() {
        let sample = x.part(n);
        for s in 0..sets.per_sample(x) {
            let members = sets.members(x, s);
            let count = members.len() as f64;
            let mean = members.iter().map(|&i| sample[i]).sum::<f64>() / count;
            let variance = members.iter().map(|&i| (sample[i] - mean).powi(2)).sum::<f64>() / count;
            let reciprocal = 1.0 / (variance + f64::from(affine.eps)).sqrt();
            for i in members {
                let y = affine_of(affine, i % x.channels(), (sample[i] - mean) * reciprocal);
                values[n * x.stride() + i] = if with_silu { silu(y) } else { y };
            }
            stats.extend([mean, reciprocal]);
        }
    }
    let stats_shape = match sets {
        Sets::Groups(groups) => vec![x.first(), groups, 2],
        Sets::Rows => vec![x.first() * x.positions(), 2],
    };
    (Array::new(x.shape(), values), Array::new(&stats_shape, stats))
}

fn affine_of(affine: Affine<'_, Reference>, channel: usize, normalised: f64) -> f64 {
    normalised * affine.gamma.values()[channel] + affine.beta.values()[channel]
}

/// One lane's values of one set: the index, the normalised value, and the cotangent before SiLU.
fn set_of_lane(
    g: &[f64],
    (x, stats): (&Array, &Array),
    (sets, with_silu): (Sets, bool),
    affine: Affine<'_, Reference>,
    (sample, s): (usize, usize),
) -> Vec<(usize, f64, f64)> {
    let [mean, reciprocal] = stats.values().as_chunks::<2>().0[sample * sets.per_sample(x) + s];
    let one = |i: usize| {
        let normalised = (x.part(sample)[i] - mean) * reciprocal;
        let y = affine_of(affine, i % x.channels(), normalised);
        let slope = if with_silu { silu_slope(y) } else { 1.0 };
        (i, normalised, g[i] * slope)
    };
    sets.members(x, s).into_iter().map(one).collect()
}

/// With `h = g * gamma` and the normalised values `z`: `(h - mean(h) - z * mean(h z)) / deviation`.
pub(super) fn norm_vjp(
    g: &Array,
    saved: (&Array, &Array),
    how: (Sets, bool),
    affine: Affine<'_, Reference>,
    lanes: &Lanes,
    acc: Option<Array>,
) -> Array {
    let (x, stats) = saved;
    let mut values = vec![0.0; g.values().len()];
    for lane in 0..lanes.len() {
        let sample = lanes.sample(lane);
        for s in 0..how.0.per_sample(x) {
            let set = set_of_lane(g.part(lane), saved, how, affine, (sample, s));
            let count = set.len() as f64;
            let h = |&(i, z, g): &(usize, f64, f64)| (i, z, g * affine.gamma.values()[i % x.channels()]);
            let mean_h = set.iter().map(h).map(|(_, _, h)| h).sum::<f64>() / count;
            let mean_hz = set.iter().map(h).map(|(_, z, h)| h * z).sum::<f64>() / count;
            let reciprocal = stats.values()[(sample * how.0.per_sample(x) + s) * 2 + 1];
            for (i, z, h) in set.iter().map(h) {
                values[lane * x.stride() + i] = (h - mean_h - z * mean_hz) * reciprocal;
            }
        }
    }
    Array::new(g.shape(), values).plus_acc(acc)
}

/// Gradients of gamma (sums of `g z`) and beta (sums of `g`), `[K, C]` each.
pub(super) fn norm_vjp_params(
    g: &Array,
    saved: (&Array, &Array),
    how: (Sets, bool),
    affine: Affine<'_, Reference>,
    lanes: &Lanes,
) -> (Array, Array) {
    let channels = g.channels();
    let shape = [lanes.objectives(), channels];
    let (mut gamma, mut beta) = (vec![0.0; shape[0] * channels], vec![0.0; shape[0] * channels]);
    for k in 0..lanes.objectives() {
        for lane in lanes.of_objective(k) {
            for s in 0..how.0.per_sample(saved.0) {
                for (i, z, g) in set_of_lane(g.part(lane), saved, how, affine, (lanes.sample(lane), s)) {
                    gamma[k * channels + i % channels] += g * z;
                    beta[k * channels + i % channels] += g;
                }
            }
        }
    }
    (Array::new(&shape, gamma), Array::new(&shape, beta))
}
