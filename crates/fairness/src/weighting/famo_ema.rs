//! FAMO with moving averages: the weights of FAMO (Liu, Feng, Stone and Liu, *FAMO: Fast Adaptive Multitask
//! Optimization*, NeurIPS 2023, arXiv 2306.03792, algorithm 1), `w_i = (p_i / l_i) / sum_j (p_j / l_j)` with
//! `p = softmax(xi)`, with another update of the logits xi.
//!
//! The paper evaluates the losses of the same batch again after the step: one more forward pass. Here xi
//! follows the change of the losses' moving averages from step to step, without that pass: `delta_i =
//! log(average before) - log(average now)`. It is noisier than the original, as the averages also change with
//! the time steps drawn, and results with it are not results of FAMO. The rest is as in the authors' code: xi
//! goes against `J_softmax' delta + gamma xi` by Adam, so that an objective whose loss falls counts less.

use serde::{Deserialize, Serialize};

use super::average::{Averages, check_decay, loss_decay};
use super::{GramWeighting, Observation, State};
use crate::{Solution, WeightingError};

use super::adam::adam;
use super::average::{check_within, softmax};

/// FAMO whose logits follow averaged losses instead of a second evaluation of the batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamoEma {
    /// Adam's learning rate for the logits, 0.025 by default.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// Decay of the logits towards equal ones, 0.001 by default.
    #[serde(default = "gamma")]
    pub gamma: f64,
    /// Decay of the losses' moving averages, 0.98 by default; 0 for the losses of the step alone.
    #[serde(default = "loss_decay")]
    pub loss_decay: f64,
}

fn learning_rate() -> f64 {
    0.025
}

fn gamma() -> f64 {
    1e-3
}

impl GramWeighting for FamoEma {
    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_within("learning_rate", self.learning_rate, 1e-9, 10.0)?;
        check_decay(self.loss_decay)?;
        check_within("gamma", self.gamma, 0.0, 1e3)
    }

    fn label(&self) -> String {
        "FAMO with averaged losses".into()
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        let averages = Averages::update(self.loss_decay, seen, state)?;
        let present = seen.gram.present();
        let mut logits = state.list("logits", seen.gram.k(), 0.0)?;
        let known: Vec<usize> = present.iter().copied().filter(|&i| averages.before[i].is_some()).collect();
        let fall = |i: usize| averages.before[i].map_or(0.0, |before| libm::log(before / averages.now[i]));
        let shares = softmax(&logits, &known);
        let mean: f64 = known.iter().map(|&i| shares[i] * fall(i)).sum();
        let mut slopes = vec![None; logits.len()];
        for &i in &known {
            slopes[i] = Some(shares[i] * (fall(i) - mean) + self.gamma * logits[i]);
        }
        let changes = adam(&slopes, self.learning_rate, state)?;
        logits.iter_mut().zip(changes).for_each(|(logit, change)| *logit += change);
        let shares = softmax(&logits, &present);
        state.set("logits", logits);
        let weights: Vec<f64> = shares.iter().zip(&averages.now).map(|(p, l)| p / l).collect();
        let total: f64 = weights.iter().sum();
        let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
        Ok(Solution::given(seen.gram, &weights, present.len() as f64))
    }
}
