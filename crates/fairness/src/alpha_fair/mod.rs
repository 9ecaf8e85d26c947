//! From a Gram matrix and alpha to a [`Solution`]: leaves absent objectives out, normalises, chooses the
//! algorithm for alpha, adds a ridge where gradients oppose each other, and scales back.

mod centre;
mod max_min;
mod newton;

use crate::{Gram, Outcome, Solution, WeightingError};
use centre::{Centre, centre};
use max_min::max_min;
use newton::alpha_fair;

/// A convex combination of unit gradients with a norm below this counts as zero: its square is then
/// within the rounding of f32 gradients.
pub const CONFLICT_NORM: f64 = 1e-6;

/// The ridge, relative to every squared gradient norm, that conflicting gradients are solved with:
/// it moves the weights of the other objectives by about 1e-6, and keeps the weights of the opposed
/// ones so small (at most 1e6 for alpha = inf, 1e4 for alpha = 2, at unit norms) that the rounding
/// of f32 gradients stays below the direction.
pub const RIDGE: f64 = 1e-6;

/// A ridge below the documented accuracy, so not reported as a conflict. It decides how exactly collinear
/// gradients share their weight where rounding would decide otherwise (alpha far from 1 only).
const NEGLIGIBLE_RIDGE: f64 = 1e-12;

/// Tried after [`RIDGE`]: a few in a million conflicts of many gradients, with norms that differ by twelve
/// orders of magnitude, cannot be solved in f64 otherwise.
const LARGER_RIDGES: [f64; 2] = [1e-3, 1.0];

/// Largest relative residual of accepted weights.
const SOLVED: f64 = 1e-10;

/// Outside this range alpha is treated as its limit: weights change by less than about 1e-6.
const SMALLEST_ALPHA: f64 = 1e-8;
const LARGEST_ALPHA: f64 = 1e8;

/// Alpha-fair weights: `A w = w^(-1/alpha)`, w > 0, for any alpha from 0 to infinity.
///
/// - `alpha = 0`: the plain sum, w = 1. Positive alphas tend to it for alpha -> 0 wherever the sum
///   lowers every loss (`A 1 >= 0`); where it raises one, they tend to the shortest direction with
///   `w >= 1` instead, which raises none.
/// - `alpha = inf`: max-min. `A w = 1` where this has a positive solution; elsewhere the limit of
///   growing alpha, the minimum of `1/2 w'Aw - sum w` over `w >= 0`: rates are at least 1, and
///   present objectives that get more without help have weight 0. Among exactly collinear gradients
///   the direction is unique and the shares are not.
/// - Scaling: multiplying A by c multiplies w by `c^(-alpha/(1+alpha))`.
///
/// Alphas in (0, 1e-8) are solved as 1e-8 and those above 1e8 as infinity.
///
/// # Errors
/// [`WeightingError::Parameter`] when alpha is negative or NaN. Every checked Gram matrix has a solution;
/// conflicts are reported in [`Solution::outcome`].
pub fn solve(gram: &Gram, alpha: f64) -> Result<Solution, WeightingError> {
    solve_with_priorities(gram, alpha, &vec![1.0; gram.k()])
}

/// Alpha-fair weights with priorities p: `A w = (p/w)^(1/alpha)`, w > 0. Priorities of 1 are [`solve`].
///
/// The direction `d = sum_i w_i g_i` maximises `sum_i p_i u(g_i . d) - |d|^2 / 2` for the utility of alpha
/// fairness, `u'(r) = r^(-alpha)` (Mo and Walrand, *Fair End-to-End Window-Based Congestion Control*, 2000:
/// (p, alpha)-proportional fairness): at the maximum `d = sum_i p_i r_i^(-alpha) g_i` with `r_i = g_i . d`,
/// so `w_i = p_i r_i^(-alpha)`, and `r = A w` gives the equation. The maximum is a convex function of p with
/// the slopes `u(r_i)`: the rate of an objective grows with its priority. Orthogonal gradients have `w_i =
/// p_i^(1/(1+alpha)) A_ii^(-alpha/(1+alpha))`.
///
/// The larger alpha, the less priorities matter: at alpha = 0 they are the weights, and max-min
/// (alpha = inf) takes no others than 1.
///
/// # Errors
/// As [`solve`]; also when there is not one priority per objective, one is not between 1e-6 and 1e6, or
/// they differ from 1 with alpha = inf.
pub fn solve_with_priorities(
    gram: &Gram,
    alpha: f64,
    priorities: &[f64],
) -> Result<Solution, WeightingError> {
    check_alpha(alpha)?;
    check_priorities(priorities, gram.k(), alpha)?;
    let k = gram.k();
    let present = gram.present();
    if alpha == 0.0 || present.is_empty() {
        return Ok(Solution::given(gram, priorities, k as f64));
    }
    let alpha = match alpha {
        a if a > LARGEST_ALPHA => f64::INFINITY,
        a => a.max(SMALLEST_ALPHA),
    };
    // The scaling law makes the size of A irrelevant: solve at mean squared norm 1.
    let n = present.len();
    let scale = present.iter().map(|&i| gram.at(i, i) / n as f64).sum::<f64>();
    let norms: Vec<f64> = present.iter().map(|&i| (gram.at(i, i) / scale).sqrt()).collect();
    let priorities: Vec<f64> = present.iter().map(|&i| priorities[i]).collect();
    let found = fair(gram.cosines_of(&present), &norms, &priorities, alpha);
    let exponent = if alpha.is_infinite() { 1.0 } else { alpha / (1.0 + alpha) };
    let unscale = scale.powf(-exponent);
    let mut weights = vec![0.0; k];
    for (&i, w) in present.iter().zip(&found.weights) {
        weights[i] = w * unscale;
    }
    Ok(Solution {
        rates: gram.rates(&weights),
        weights,
        factor: k as f64,
        absent: gram.absent().to_vec(),
        outcome: found.outcome,
        iterations: found.iterations,
        residual: found.residual,
    })
}

/// The norm of a vanishing convex combination of unit gradients, where there is one.
pub(crate) fn opposition(cosines: &[f64], n: usize) -> Option<f64> {
    let search = centre(cosines, n);
    matches!(search.centre, Centre::Opposed).then_some(search.norm)
}

/// Refuses a negative alpha and NaN.
pub(crate) fn check_alpha(alpha: f64) -> Result<(), WeightingError> {
    if alpha >= 0.0 {
        return Ok(());
    }
    let problem = format!("alpha is {alpha}; it must be 0 (sum), positive, or inf (max-min)");
    Err(WeightingError::Parameter { name: "alpha", problem })
}

/// Refuses priorities that do not fit the objectives or alpha.
pub(crate) fn check_priorities(
    priorities: &[f64],
    objectives: usize,
    alpha: f64,
) -> Result<(), WeightingError> {
    let refuse = |problem| Err(WeightingError::Parameter { name: "priority", problem });
    let found = priorities.len();
    if found != objectives {
        let rule = "give one each, in their order";
        return refuse(format!("{found} priorities for {objectives} objectives; {rule}"));
    }
    let bad = |(_, p): &(usize, &f64)| !(1e-6..=1e6).contains(*p);
    if let Some((index, found)) = priorities.iter().enumerate().find(bad) {
        return refuse(format!("priority {index} is {found}; priorities must be between 1e-6 and 1e6"));
    }
    match alpha.is_infinite() && priorities.iter().any(|&p| p != 1.0) {
        true => {
            refuse("max-min (alpha = inf) has no priorities; leave them out or choose a finite alpha".into())
        }
        false => Ok(()),
    }
}

/// The solution of the normalised system of present objectives.
struct Normalised {
    weights: Vec<f64>,
    outcome: Outcome,
    iterations: usize,
    residual: f64,
}

/// Tries the matrix itself, then with growing ridges, until the weights solve their equation.
fn fair(cosines: Vec<f64>, norms: &[f64], priorities: &[f64], alpha: f64) -> Normalised {
    let n = norms.len();
    let mut spent = 0;
    let mut norm = None;
    for ridge in [0.0, NEGLIGIBLE_RIDGE, RIDGE].into_iter().chain(LARGER_RIDGES) {
        let mut ridged = cosines.clone();
        for i in 0..n {
            ridged[i * n + i] += ridge;
        }
        let search = centre(&ridged, n);
        spent += search.iterations;
        // The norm of the gradients themselves, not of the ridged ones.
        let norm = *norm.get_or_insert(search.norm);
        let Centre::Found(z) = search.centre else {
            continue;
        };
        let outcome = match ridge {
            ridge if ridge <= NEGLIGIBLE_RIDGE => Outcome::Fair,
            ridge => Outcome::Conflict { ridge, norm },
        };
        let found = at_alpha(&ridged, norms, priorities, &z, alpha, outcome);
        spent += found.iterations;
        if found.outcome != Outcome::Stalled {
            let iterations = spent;
            let residual = match outcome {
                Outcome::Fair => found.residual.max(ridge),
                _ => found.residual,
            };
            return Normalised { iterations, residual, ..found };
        }
    }
    Normalised {
        weights: norms.iter().map(|d| 1.0 / d).collect(),
        outcome: Outcome::Stalled,
        iterations: spent,
        residual: f64::INFINITY,
    }
}

/// The algorithm for one alpha > 0, started from the centre; stalled where it fails.
fn at_alpha(
    cosines: &[f64],
    norms: &[f64],
    priorities: &[f64],
    z: &[f64],
    alpha: f64,
    outcome: Outcome,
) -> Normalised {
    if alpha.is_infinite() {
        let found = max_min(cosines, norms);
        let solved = found.residual <= SOLVED;
        return Normalised {
            weights: found.z.iter().zip(norms).map(|(z, d)| z / d).collect(),
            outcome: if solved { outcome } else { Outcome::Stalled },
            iterations: found.iterations,
            residual: found.residual,
        };
    }
    let found = alpha_fair(cosines, norms, priorities, z, alpha);
    let solved = found.arrived && found.residual <= SOLVED && found.weights.iter().all(|w| w.is_finite());
    Normalised {
        weights: found.weights,
        outcome: if solved { outcome } else { Outcome::Stalled },
        iterations: found.iterations,
        residual: found.residual,
    }
}
