//! DB-MTL: the gradients of the losses' logarithms, all lengthened to the longest of them (Lin, Jiang, Ye,
//! Zhang, Chen, Chen, Liu and Kwok, *Dual-Balancing for Multi-Task Learning*, 2023, arXiv 2308.12029,
//! algorithm 1), without the paper's moving average of gradients (its beta is 0): `w_i = max_j(|g_j| / l_j) /
//! |g_i|`.
//!
//! Its direction is that of unit gradients; only the length depends on the losses.

use serde::{Deserialize, Serialize};

use super::average::{Averages, loss_decay};
use super::check::check_decay;
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// Gradients as long as the longest gradient of a loss's logarithm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DbMtl {
    /// Decay of the losses' moving averages, 0.98 by default; 0 for the losses of the step alone.
    #[serde(default = "loss_decay")]
    pub loss_decay: f64,
}

impl GramWeighting for DbMtl {
    fn needs(&self) -> Needs {
        Needs::BOTH
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_decay(self.loss_decay)
    }

    fn label(&self) -> String {
        "DB-MTL (beta 0)".into()
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        let losses = Averages::update(self.loss_decay, seen, state)?.now;
        let present = seen.gram.present();
        let norms = seen.gram.norms_of(&present);
        let longest = present.iter().zip(&norms).map(|(&i, norm)| norm / losses[i]).fold(0.0, f64::max);
        let mut weights = vec![0.0; seen.gram.k()];
        for (&i, norm) in present.iter().zip(&norms) {
            weights[i] = longest / norm;
        }
        Ok(Solution::given(seen.gram, &weights, 1.0))
    }
}
