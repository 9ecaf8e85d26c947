//! UPGrad: each gradient is projected onto the directions along which no loss rises, and the mean is taken
//! (Quinton and Rey, *Jacobian Descent for Multi-Objective Optimization*, 2024, arXiv 2406.16232, section 3
//! and proposition 1). The projection of objective i has the weights `argmin v'Av` with `v >= e_i / K`.
//!
//! The quadratic programmes are solved exactly; the authors' library adds 1e-4 to the normalised Gram matrix.

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::nonnegative::minimum;
use crate::{Solution, WeightingError};

/// The mean of the gradients, each projected so that it raises no loss.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpGrad {}

impl GramWeighting for UpGrad {
    fn needs(&self) -> Needs {
        Needs::GRAM
    }

    fn label(&self) -> String {
        "UPGrad".into()
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let present = seen.gram.present();
        let (n, norms) = (present.len(), seen.gram.norms_of(&present));
        let cosines = seen.gram.cosines_of(&present);
        let (mut iterations, mut residual) = (0, 0.0f64);
        let mut weights = vec![0.0; seen.gram.k()];
        for i in 0..n {
            // With v = e_i / K + x and z = D x: C z >= -C_i d_i / K, z >= 0. The factor d_i / K comes last.
            let bounds: Vec<f64> = (0..n).map(|j| -cosines[j * n + i]).collect();
            let found = minimum(&cosines, &bounds);
            iterations += found.iterations;
            residual = residual.max(found.residual);
            weights[present[i]] += 1.0 / n as f64;
            for (j, z) in found.z.iter().enumerate() {
                weights[present[j]] += z * (norms[i] / norms[j]) / n as f64;
            }
        }
        Ok(Solution { iterations, residual, ..Solution::given(seen.gram, &weights, n as f64) })
    }
}
