//! Uncertainty weighting: `w_i = exp(-s_i)` with s learnt by minimising `sum_i l_i exp(-s_i) + s_i` beside
//! the parameters (Kendall, Gal and Cipolla, *Multi-Task Learning Using Uncertainty to Weigh Losses*, CVPR
//! 2018, arXiv 1705.07115, equation 7 with `s = log sigma^2`, times 2). At rest `w = 1 / l`.
//!
//! s starts at 0, and Adam moves it without weight decay.

use serde::{Deserialize, Serialize};

use super::adam::adam;
use super::average::{Averages, loss_decay};
use super::check::{check_decay, check_learning_rate};
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// Weights `exp(-s)` with learnt s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uncertainty {
    /// Adam's learning rate for s, 0.01 by default: about the largest change of s in a step.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// Decay of the losses' moving averages, 0.98 by default; 0 for the losses of the step alone.
    #[serde(default = "loss_decay")]
    pub loss_decay: f64,
}

fn learning_rate() -> f64 {
    0.01
}

impl GramWeighting for Uncertainty {
    fn needs(&self) -> Needs {
        Needs::LOSSES
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_learning_rate(self.learning_rate)?;
        check_decay(self.loss_decay)
    }

    fn label(&self) -> String {
        "uncertainty weighting".into()
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        let losses = Averages::update(self.loss_decay, seen, state)?.now;
        let mut logs = state.list("log_variance", seen.gram.k(), 0.0)?;
        let weights: Vec<f64> = logs.iter().map(|&s| libm::exp(-s)).collect();
        let mut slopes = vec![None; logs.len()];
        for i in seen.gram.present() {
            slopes[i] = Some(1.0 - losses[i] * weights[i]);
        }
        let changes = adam(&slopes, self.learning_rate, state)?;
        logs.iter_mut().zip(changes).for_each(|(s, change)| *s += change);
        state.set("log_variance", logs);
        Ok(Solution::given(seen.gram, &weights, 1.0))
    }
}
