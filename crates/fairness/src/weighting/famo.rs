//! FAMO (Liu, Feng, Stone and Liu, *FAMO: Fast Adaptive Multitask Optimization*, NeurIPS 2023, arXiv
//! 2306.03792, algorithm 1): weights `w_i = (p_i / l_i) / sum_j (p_j / l_j)` with `p = softmax(xi)`, under
//! which all losses fall at about the same rate.
//!
//! After the step the losses of the same batch are evaluated again, and the logits xi go against `J_softmax'
//! delta + gamma xi` by Adam, with `delta_i = log l_i(before) - log l_i(after)`: an objective whose loss fell
//! counts less. As in the authors' code; it costs a further forward pass in every step.

use serde::{Deserialize, Serialize};

use super::adam::adam;
use super::average::check_losses;
use super::check::{check_learning_rate, check_within};
use super::softmax::softmax;
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// FAMO, with its second evaluation of every batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Famo {
    /// Adam's learning rate for the logits, 0.025 by default.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// Decay of the logits towards equal ones, 0.001 by default.
    #[serde(default = "gamma")]
    pub gamma: f64,
}

pub(super) fn learning_rate() -> f64 {
    0.025
}

pub(super) fn gamma() -> f64 {
    1e-3
}

/// Refuses settings that FAMO cannot learn its logits with.
pub(super) fn check_settings(learning_rate: f64, gamma: f64) -> Result<(), WeightingError> {
    check_learning_rate(learning_rate)?;
    check_within("gamma", gamma, 0.0, 1e3)
}

/// Moves the logits of the chosen objectives by how far the logarithm of each loss fell.
pub(super) fn move_logits(
    falls: &[f64],
    chosen: &[usize],
    (learning_rate, gamma): (f64, f64),
    state: &mut State,
) -> Result<Vec<f64>, WeightingError> {
    let mut logits = state.list("logits", falls.len(), 0.0)?;
    let shares = softmax(&logits, chosen);
    let mean: f64 = chosen.iter().map(|&i| shares[i] * falls[i]).sum();
    let mut slopes = vec![None; logits.len()];
    for &i in chosen {
        slopes[i] = Some(shares[i] * (falls[i] - mean) + gamma * logits[i]);
    }
    let changes = adam(&slopes, learning_rate, state)?;
    logits.iter_mut().zip(changes).for_each(|(logit, change)| *logit += change);
    state.set("logits", logits.clone());
    Ok(logits)
}

/// The weights for logits and losses: they sum to 1 over the present objectives, and a step is as long as one
/// on their sum.
pub(super) fn weights(seen: &Observation<'_>, logits: &[f64], losses: &[f64]) -> Solution {
    let present = seen.gram.present();
    let shares = softmax(logits, &present);
    let mut weights = vec![0.0; shares.len()];
    present.iter().for_each(|&i| weights[i] = shares[i] / losses[i]);
    let total: f64 = weights.iter().sum();
    let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
    Solution::given(seen.gram, &weights, present.len() as f64)
}

impl GramWeighting for Famo {
    fn needs(&self) -> Needs {
        Needs { losses_after: true, ..Needs::LOSSES }
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_settings(self.learning_rate, self.gamma)
    }

    fn label(&self) -> String {
        "FAMO".into()
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        check_losses(seen)?;
        let logits = state.list("logits", seen.gram.k(), 0.0)?;
        Ok(weights(seen, &logits, seen.losses))
    }

    fn look_back(
        &self,
        seen: &Observation<'_>,
        after: &[f64],
        state: &mut State,
    ) -> Result<(), WeightingError> {
        check_losses(seen)?;
        check_losses(&Observation { losses: after, ..*seen })?;
        let present = seen.gram.present();
        let mut falls = vec![0.0; after.len()];
        present.iter().for_each(|&i| falls[i] = libm::log(seen.losses[i]) - libm::log(after[i]));
        move_logits(&falls, &present, (self.learning_rate, self.gamma), state)?;
        Ok(())
    }
}
