//! The gradient of the sum of the losses' logarithms: `w_i = 1 / l_i`, unchanged by the scale of a loss. A
//! common baseline ("scale-invariant", as in Nash-MTL, arXiv 2202.01017, section 5).

use serde::{Deserialize, Serialize};

use super::average::{Averages, loss_decay};
use super::check::check_decay;
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// Weights `1 / l`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Decay of the losses' moving averages, 0.98 by default; 0 for the losses of the step alone.
    #[serde(default = "loss_decay")]
    pub loss_decay: f64,
}

impl GramWeighting for Log {
    fn needs(&self) -> Needs {
        Needs::LOSSES
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_decay(self.loss_decay)
    }

    fn label(&self) -> String {
        "sum of logarithms".into()
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        let averages = Averages::update(self.loss_decay, seen, state)?;
        let weights: Vec<f64> = averages.now.iter().map(|l| 1.0 / l).collect();
        Ok(Solution::given(seen.gram, &weights, 1.0))
    }
}
