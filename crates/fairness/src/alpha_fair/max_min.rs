//! Max-min weights, the limit of alpha-fair ones for alpha -> infinity: `A w = 1` where that has a
//! positive solution, else the minimum of `1/2 w'Aw - sum w` over `w >= 0`.
//!
//! In that quadratic programme every objective's rate `(A w)_i` is at least 1, and an objective with a larger
//! rate has weight 0. It is solved here as `C z = 1/d` with `z = D w`.

use crate::nonnegative::{Minimum, minimum};

/// `z = D w` from cosines and gradient norms, zero where the objective needs no weight.
pub(crate) fn max_min(cosines: &[f64], norms: &[f64]) -> Minimum {
    let bounds: Vec<f64> = norms.iter().map(|d| 1.0 / d).collect();
    minimum(cosines, &bounds)
}
