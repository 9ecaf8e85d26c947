//! Quadratic programmes over non-negative weights: the minimum of `1/2 z'Cz - b'z` over `z >= 0`, for a
//! matrix C of cosines. At the minimum `(C z)_i >= b_i`, and `z_i = 0` where it is larger.
//!
//! Solved exactly by the active-set method of Lawson and Hanson (*Solving Least Squares Problems*, 1974,
//! algorithm NNLS).

use crate::linalg::{cholesky, row_magnitude, row_product, substitute};

/// Relative rounding error of `(C z)_i`: a value below its bound by less counts as on it.
const TOLERANCE: f64 = 1e-13;

/// Largest violation at which the solution with all z positive is accepted.
const SOLVED: f64 = 1e-12;

pub(crate) struct Minimum {
    pub z: Vec<f64>,
    pub iterations: usize,
    /// Largest relative violation of the conditions of optimality.
    pub residual: f64,
}

/// The minimum for these cosines and bounds b, of any sign.
pub(crate) fn minimum(cosines: &[f64], bounds: &[f64]) -> Minimum {
    let n = bounds.len();
    // Often every z is positive, and one solve is the answer.
    let all: Vec<usize> = (0..n).collect();
    let mut z = on_bounds(cosines, bounds, &all);
    let mut active = vec![true; n];
    let mut iterations = 1;
    if z.iter().any(|&v| v <= 0.0) || violation(cosines, bounds, &z) > SOLVED {
        z.fill(0.0);
        active.fill(false);
    }
    // The method terminates in exact arithmetic; the limit guards against cycles caused by rounding.
    while iterations < 8 * n + 8 {
        let short = |i: usize| bounds[i] - row_product(cosines, &z, i);
        let slack = |i: usize| TOLERANCE * (bounds[i].abs() + row_magnitude(cosines, &z, i));
        let candidates = (0..n).filter(|&i| !active[i] && short(i) > slack(i));
        let relative = |i: usize| short(i) / (bounds[i].abs() + row_magnitude(cosines, &z, i));
        let Some(worst) = candidates.max_by(|&i, &j| relative(i).total_cmp(&relative(j))) else {
            break;
        };
        active[worst] = true;
        iterations += 1;
        while let Some(blocked) = towards(cosines, bounds, &mut z, &active) {
            active[blocked] = false;
            z[blocked] = 0.0;
            iterations += 1;
        }
    }
    let residual = violation(cosines, bounds, &z);
    Minimum { z, iterations, residual }
}

/// Distance of z from the conditions of optimality, relative to their terms.
fn violation(cosines: &[f64], bounds: &[f64], z: &[f64]) -> f64 {
    let row = |i: usize| {
        let gap = row_product(cosines, z, i) - bounds[i];
        let gap = if z[i] > 0.0 { gap.abs() } else { (-gap).max(0.0) };
        gap / (bounds[i].abs() + row_magnitude(cosines, z, i))
    };
    (0..z.len()).map(row).fold(0.0, f64::max)
}

/// Moves z towards the solution of `C z = bounds` on the active objectives, up to the first that would
/// become negative; returns its index.
fn towards(cosines: &[f64], bounds: &[f64], z: &mut [f64], active: &[bool]) -> Option<usize> {
    let chosen: Vec<usize> = (0..z.len()).filter(|&i| active[i]).collect();
    let goal = on_bounds(cosines, bounds, &chosen);
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
fn on_bounds(cosines: &[f64], bounds: &[f64], chosen: &[usize]) -> Vec<f64> {
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
