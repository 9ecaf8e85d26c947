//! IMTL-G: the direction with equal projections on all unit gradients (Liu, Li, Kuang, Xue, Chen, Yang, Liao
//! and Zhang, *Towards Impartial Multi-task Learning*, ICLR 2021, equation 4), in closed form `A w = n` for
//! the gradient norms n, that is `C z = 1` for the cosines C with `w = z / n`.
//!
//! The paper divides by the sum of the weights. Weights may be negative, and that sum zero or negative (the
//! direction would then point uphill), so the sum of their sizes is used; where all weights are positive it
//! is the same.

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::alpha_fair::opposition;
use crate::linalg::solve_shifted;
use crate::{RIDGE, Solution, WeightingError};

/// Weights, some of them perhaps negative, with which all losses fall alike in relation to their gradients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImtlG {}

impl GramWeighting for ImtlG {
    fn needs(&self) -> Needs {
        Needs::GRAM
    }

    fn label(&self) -> String {
        "IMTL-G".into()
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let present = seen.gram.present();
        let (n, norms) = (present.len(), seen.gram.norms_of(&present));
        let cosines = seen.gram.cosines_of(&present);
        let opposed = opposition(&cosines, n);
        let mut ridge = if opposed.is_some() { RIDGE } else { 0.0 };
        let (mut z, mut scratch) = (vec![1.0; n], Vec::new());
        // Collinear gradients that agree share their weight by the first ridge.
        while !solve_shifted(&cosines, &vec![ridge; n], &mut scratch, &mut z) {
            ridge = f64::max(10.0 * ridge, 1e-12);
            z.fill(1.0);
        }
        let shares: Vec<f64> = z.iter().zip(&norms).map(|(z, norm)| z / norm).collect();
        let total: f64 = shares.iter().map(|share| share.abs()).sum();
        let mut weights = vec![0.0; seen.gram.k()];
        for (&i, share) in present.iter().zip(&shares) {
            weights[i] = share / total;
        }
        Ok(Solution::given(seen.gram, &weights, n as f64).with_conflict(opposed, ridge))
    }
}
