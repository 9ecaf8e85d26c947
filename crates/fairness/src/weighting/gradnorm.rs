//! GradNorm: weights learnt so that weighted gradients have lengths that grow with how far an objective lags
//! (Chen, Badrinarayanan, Lee and Rabinovich, *GradNorm: Gradient Normalization for Adaptive Loss Balancing*,
//! ICML 2018, arXiv 1711.02257, equation 2 and algorithm 1): w descends on `sum_i |w_i n_i - target_i|` with
//! `target_i = mean_j(w_j n_j) r_i^alpha`, `r_i = (l_i / l_i(0)) / mean_j(l_j / l_j(0))` and the gradient
//! norms n.
//!
//! The norms are those over all trained parameters, not over the last shared layer alone. `l(0)` is the mean
//! of the first losses instead of the first one, and until an objective has them its r is 1. Weights start at
//! 1, move by Adam, stay above 1e-3 and are scaled back to their sum.

use serde::{Deserialize, Serialize};

use super::adam::adam;
use super::average::{Averages, FirstMeans, loss_decay};
use super::check::{check_decay, check_learning_rate, check_positive, check_within};
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// The smallest weight before they are scaled to their sum: a step of Adam could make one negative.
const SMALLEST: f64 = 1e-3;

/// Learnt weights for gradients of balanced lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradNorm {
    /// Strength of the pull towards equal training rates, 1.5 by default; 0 asks for equal lengths.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// Adam's learning rate for the weights, 0.025 by default.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// Steps whose mean losses are `l(0)`, 20 by default.
    #[serde(default = "warmup")]
    pub warmup: u32,
    /// Decay of the losses' moving averages, 0.98 by default; 0 for the losses of the step alone.
    #[serde(default = "loss_decay")]
    pub loss_decay: f64,
}

fn alpha() -> f64 {
    1.5
}

fn learning_rate() -> f64 {
    0.025
}

fn warmup() -> u32 {
    20
}

impl GramWeighting for GradNorm {
    fn needs(&self) -> Needs {
        Needs::BOTH
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_learning_rate(self.learning_rate)?;
        check_positive("warmup", f64::from(self.warmup))?;
        check_decay(self.loss_decay)?;
        check_within("alpha", self.alpha, 0.0, 100.0)
    }

    fn label(&self) -> String {
        format!("GradNorm (alpha {})", self.alpha)
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        let losses = Averages::update(self.loss_decay, seen, state)?.now;
        let first = FirstMeans::read_and_update(self.warmup, seen, state)?;
        let present = seen.gram.present();
        let weights = state.list("weights", seen.gram.k(), 1.0)?;
        let solution = Solution::given(seen.gram, &weights, 1.0);
        if present.is_empty() {
            return Ok(solution);
        }
        let number = present.len() as f64;
        let over = |value: &dyn Fn(usize) -> f64| present.iter().map(|&i| value(i)).sum::<f64>();
        let lag = |i: usize| losses[i] / first.means[i];
        let begun: Vec<usize> = present.iter().copied().filter(|&i| first.complete[i]).collect();
        let mean_lag = begun.iter().map(|&i| lag(i)).sum::<f64>() / begun.len() as f64;
        let rate = |i: usize| if first.complete[i] { lag(i) / mean_lag } else { 1.0 };
        // Lengths relative to their mean, so that the size of the gradients drops out.
        let norm = |i: usize| seen.gram.at(i, i).sqrt();
        let mean_length = over(&|i| weights[i] * norm(i)) / number;
        let mut slopes = vec![None; weights.len()];
        for &i in &present {
            let excess = weights[i] * norm(i) / mean_length - libm::pow(rate(i), self.alpha);
            let sign = if excess == 0.0 { 0.0 } else { excess.signum() };
            slopes[i] = Some(sign * norm(i) / mean_length);
        }
        let changes = adam(&slopes, self.learning_rate, state)?;
        let moved = |i: usize| (weights[i] + changes[i]).max(SMALLEST);
        let scale = over(&|i| weights[i]) / over(&moved);
        let mut next = weights.clone();
        present.iter().for_each(|&i| next[i] = moved(i) * scale);
        state.set("weights", next);
        Ok(solution)
    }
}
