//! MGDA: the shortest convex combination of the gradients (Désidéri, *Multiple-Gradient Descent Algorithm for
//! Multiobjective Optimization*, 2012; Sener and Koltun, *Multi-Task Learning as Multi-Objective
//! Optimization*, NeurIPS 2018, arXiv 1810.04650, equation 3).
//!
//! Its direction is that of max-min weights, alpha-fair ones with alpha = inf, and is solved for exactly as
//! those; here the weights sum to 1. No loss rises along it, and none falls where gradients oppose each
//! other.

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// Weights w >= 0 with sum 1 that make `|sum_i w_i g_i|` smallest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mgda {}

impl GramWeighting for Mgda {
    fn needs(&self) -> Needs {
        Needs::GRAM
    }

    fn label(&self) -> String {
        "MGDA".into()
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let Solution { weights, outcome, iterations, residual, .. } = crate::solve(seen.gram, f64::INFINITY)?;
        let present = seen.gram.present().len() as f64;
        let total: f64 = weights.iter().sum();
        let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
        Ok(Solution { outcome, iterations, residual, ..Solution::given(seen.gram, &weights, present) })
    }
}
