//! CAGrad: the direction that helps the worst-served objective most among those near the mean gradient (Liu,
//! Liu, Jin, Stone and Liu, *Conflict-Averse Gradient Descent for Multi-task Learning*, NeurIPS 2021, arXiv
//! 2110.14048, equation 3): `max_d min_i g_i . d` with `|d - g_0| <= c |g_0|` for the mean gradient g_0. c =
//! 0 is the mean; a large c turns to MGDA. The authors' code also divides by `1 + c^2`; the paper does not.
//!
//! Solved through `d = g_0 + e`: the shortest e with `g_i . (g_0 + e) >= t` for all i is a quadratic
//! programme whose multipliers are the weights of e, and its length N(t) is convex and grows. Newton's method
//! finds the t with `N(t) = c |g_0|`.

use serde::{Deserialize, Serialize};

use super::check::check_within;
use super::{GramWeighting, Needs, Observation, State};
use crate::alpha_fair::opposition;
use crate::linalg::row_product;
use crate::nonnegative::minimum;
use crate::{RIDGE, Solution, WeightingError};

/// An upper bound for Newton's method; about 6 are needed.
const MAX_ITERATIONS: usize = 100;

/// The best direction for the worst-served objective within c times the mean gradient's length of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaGrad {
    /// The radius as a multiple of the mean gradient's length, 0.5 by default. The paper's theorems ask for
    /// less than 1.
    #[serde(default = "half")]
    pub c: f64,
}

fn half() -> f64 {
    0.5
}

impl GramWeighting for CaGrad {
    fn needs(&self) -> Needs {
        Needs::GRAM
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_within("c", self.c, 0.0, 1e3)
    }

    fn label(&self) -> String {
        format!("CAGrad (c {})", self.c)
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let present = seen.gram.present();
        let n = present.len();
        let largest = seen.gram.norms_of(&present).into_iter().fold(0.0, f64::max);
        let norms: Vec<f64> = seen.gram.norms_of(&present).iter().map(|norm| norm / largest).collect();
        let mut cosines = seen.gram.cosines_of(&present);
        // Products of the gradients with the mean.
        let shares: Vec<f64> = norms.iter().map(|norm| norm / n as f64).collect();
        let means: Vec<f64> = (0..n).map(|i| norms[i] * row_product(&cosines, &shares, i)).collect();
        let radius = self.c * (means.iter().sum::<f64>() / n as f64).max(0.0).sqrt();
        let opposed = opposition(&cosines, n);
        if opposed.is_some() {
            (0..n).for_each(|i| cosines[i * n + i] += RIDGE);
        }
        let extra = Extra { cosines: &cosines, norms: &norms, means: &means };
        let (extra, iterations) = if radius > 0.0 { extra.of_length(radius) } else { (vec![0.0; n], 0) };
        let mut weights = vec![0.0; seen.gram.k()];
        for (&i, extra) in present.iter().zip(&extra) {
            weights[i] = 1.0 / n as f64 + extra;
        }
        let solution = Solution { iterations, ..Solution::given(seen.gram, &weights, n as f64) };
        Ok(solution.with_conflict(opposed, RIDGE))
    }
}

/// The quadratic programme of e.
struct Extra<'a> {
    cosines: &'a [f64],
    norms: &'a [f64],
    /// `g_i . g_0`.
    means: &'a [f64],
}

impl Extra<'_> {
    /// The weights of e of this length, and the number of iterations.
    fn of_length(&self, radius: f64) -> (Vec<f64>, usize) {
        // As g_i . e <= |g_i| |e|, each i alone gives a t at which e is at least as long.
        let bounds = self.means.iter().zip(self.norms).map(|(mean, norm)| mean + radius * norm);
        let mut t = bounds.fold(f64::INFINITY, f64::min);
        let mut weights = vec![0.0; self.norms.len()];
        let mut before = f64::INFINITY;
        for iterations in 1..=MAX_ITERATIONS {
            let terms = self.means.iter().zip(self.norms);
            let bounds: Vec<f64> = terms.map(|(mean, norm)| (t - mean) / norm).collect();
            let z = minimum(self.cosines, &bounds).z;
            let square: f64 = (0..z.len()).map(|i| z[i] * row_product(self.cosines, &z, i)).sum();
            let length = square.max(0.0).sqrt();
            let found = z.iter().zip(self.norms).map(|(z, norm)| z / norm);
            // N(t) and t only decrease: once they do not, they are exact up to rounding.
            let excess = length - radius;
            if excess.is_nan() || excess >= before {
                return (weights, iterations);
            }
            weights = found.collect();
            before = excess;
            if excess <= 0.0 {
                return (weights, iterations);
            }
            // N' = (sum of the weights) / N.
            t -= excess * length / weights.iter().sum::<f64>();
        }
        (weights, MAX_ITERATIONS)
    }
}
