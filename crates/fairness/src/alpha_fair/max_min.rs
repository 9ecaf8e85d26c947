//! Max-min weights, the limit of alpha-fair ones for alpha -> infinity: `A w = 1` where that has a
//! positive solution, else the minimum of `1/2 w'Aw - sum w` over `w >= 0`.
//!
//! In that quadratic programme every objective's rate `(A w)_i` is at least 1, and an objective with a larger
//! rate has weight 0. Solved exactly by the active-set method of Lawson and Hanson (*Solving Least Squares
//! Problems*, 1974, algorithm NNLS), here on `C z = 1/d` with `z = D w`.

use crate::linalg::{cholesky, row_magnitude, row_product, substitute};

/// Relative rounding error of a rate: a rate below its bound by less counts as on it.
const TOLERANCE: f64 = 1e-13;

/// Largest violation at which the solution with all objectives active is accepted.
const SOLVED: f64 = 1e-12;

pub(crate) struct MaxMin {
    /// `z = D w`, zero where the objective needs no weight.
    pub z: Vec<f64>,
    pub iterations: usize,
    /// Largest relative violation of the conditions of optimality.
    pub residual: f64,
}

/// Solves for z from cosines and gradient norms.
pub(crate) fn max_min(cosines: &[f64], norms: &[f64]) -> MaxMin {
    let n = norms.len();
    let bounds: Vec<f64> = norms.iter().map(|d| 1.0 / d).collect();
    // Usually every objective needs its weight, and one solve is the answer.
    let all: Vec<usize> = (0..n).collect();
    let mut z = equal_rates(cosines, &bounds, &all);
    let mut active = vec![true; n];
    let mut iterations = 1;
    if z.iter().any(|&v| v <= 0.0) || violation(cosines, &bounds, &z) > SOLVED {
        z.fill(0.0);
        active.fill(false);
    }
    // The method terminates in exact arithmetic; the limit guards against cycles caused by rounding.
    while iterations < 8 * n + 8 {
        let short = |i: usize| bounds[i] - row_product(cosines, &z, i);
        let slack = |i: usize| TOLERANCE * (bounds[i] + row_magnitude(cosines, &z, i));
        let candidates = (0..n).filter(|&i| !active[i] && short(i) > slack(i));
        let relative = |i: usize| short(i) / (bounds[i] + row_magnitude(cosines, &z, i));
        let Some(worst) = candidates.max_by(|&i, &j| relative(i).total_cmp(&relative(j))) else {
            break;
        };
        active[worst] = true;
        iterations += 1;
        while let Some(blocked) = towards(cosines, &bounds, &mut z, &active) {
            active[blocked] = false;
            z[blocked] = 0.0;
            iterations += 1;
        }
    }
    let residual = violation(cosines, &bounds, &z);
    MaxMin { z, iterations, residual }
}

/// Distance of z from the conditions of optimality, relative to their terms.
fn violation(cosines: &[f64], bounds: &[f64], z: &[f64]) -> f64 {
    let row = |i: usize| {
        let gap = row_product(cosines, z, i) - bounds[i];
        let gap = if z[i] > 0.0 { gap.abs() } else { (-gap).max(0.0) };
        gap / (bounds[i] + row_magnitude(cosines, z, i))
    };
    (0..z.len()).map(row).fold(0.0, f64::max)
}

/// Moves z towards the solution of `C z = bounds` on the active objectives, up to the first that would
/// become negative; returns its index.
fn towards(cosines: &[f64], bounds: &[f64], z: &mut [f64], active: &[bool]) -> Option<usize> {
    let chosen: Vec<usize> = (0..z.len()).filter(|&i| active[i]).collect();
    let goal = equal_rates(cosines, bounds, &chosen);
    let mut length = 1.0;
    let mut blocked = None;
    for (&i, &g) in chosen.iter().zip(&goal) {
        if g <= 0.0 {
            let reach = z[i] / (z[i] - g);
            if blocked.is_none() || reach < length {
                (length, blocked) = (if reach.is_finite() { reach } else { 0.0 }, Some(i));
            }
        }
    }
    for (&i, &g) in chosen.iter().zip(&goal) {
        z[i] = if blocked.is_none() { g } else { (z[i] + length * (g - z[i])).max(0.0) };
    }
    blocked
}

/// `C z = bounds` on the chosen objectives. A shift at rounding level keeps collinear gradients
/// solvable (they share the weight); iterative refinement removes its effect where C is regular.
fn equal_rates(cosines: &[f64], bounds: &[f64], chosen: &[usize]) -> Vec<f64> {
    let (n, m) = (bounds.len(), chosen.len());
    let at = |i: usize, j: usize| cosines[chosen[i] * n + chosen[j]];
    let matrix: Vec<f64> = (0..m * m).map(|e| at(e / m, e % m)).collect();
    let mut factor = matrix.clone();
    let mut shift = TOLERANCE;
    loop {
        for i in 0..m {
            factor[i * m + i] += shift;
        }
        if cholesky(&mut factor, m) {
            break;
        }
        shift *= 10.0;
        factor.copy_from_slice(&matrix);
    }
    let mut goal = vec![0.0; m];
    for _ in 0..3 {
        let missing = |i: usize| bounds[chosen[i]] - row_product(&matrix, &goal, i);
        let mut correction: Vec<f64> = (0..m).map(missing).collect();
        substitute(&factor, m, &mut correction);
        goal.iter_mut().zip(correction).for_each(|(g, c)| *g += c);
    }
    goal
}
