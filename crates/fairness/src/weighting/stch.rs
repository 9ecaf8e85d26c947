//! STCH: smooth Tchebycheff scalarisation, a smooth maximum of the losses' logarithms relative to reference
//! losses (Lin, Zhang, Yang, Liu, Wang and Zhang, *Smooth Tchebycheff Scalarization for Multi-Objective
//! Optimization*, ICML 2024, arXiv 2402.19078, equation 8): `w_i = K softmax(log(l_i / ref_i) / mu)_i / l_i`.
//!
//! As in the authors' code for multi-task learning, the reference is the mean loss of a warm-up, during which
//! `w_i = 1 / l_i`. An objective is out of its own warm-up after that many steps in which it is present;
//! until all present ones are, the weights are those of the warm-up.

use serde::{Deserialize, Serialize};

use super::average::{Averages, FirstMeans, loss_decay};
use super::check::{check_decay, check_positive, check_within};
use super::softmax::softmax;
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// Weights of a smooth maximum over the objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stch {
    /// Smoothness, 1 by default: towards 0 only the objective that lags most counts.
    #[serde(default = "one")]
    pub mu: f64,
    /// Steps whose mean losses are the references, 100 by default.
    #[serde(default = "warmup")]
    pub warmup: u32,
    /// Decay of the losses' moving averages, 0.98 by default; 0 for the losses of the step alone.
    #[serde(default = "loss_decay")]
    pub loss_decay: f64,
}

fn one() -> f64 {
    1.0
}

fn warmup() -> u32 {
    100
}

impl GramWeighting for Stch {
    fn needs(&self) -> Needs {
        Needs::LOSSES
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_within("mu", self.mu, 1e-6, 1e6)?;
        check_positive("warmup", f64::from(self.warmup))?;
        check_decay(self.loss_decay)
    }

    fn label(&self) -> String {
        format!("smooth Tchebycheff (mu {})", self.mu)
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        let losses = Averages::update(self.loss_decay, seen, state)?.now;
        let first = FirstMeans::read_and_update(self.warmup, seen, state)?;
        let present = seen.gram.present();
        let shares = if present.iter().all(|&i| first.complete[i]) {
            let relative = losses.iter().zip(&first.means);
            let exponents: Vec<f64> = relative.map(|(l, mean)| libm::log(l / mean) / self.mu).collect();
            let number = present.len() as f64;
            softmax(&exponents, &present).iter().map(|p| number * p).collect()
        } else {
            vec![1.0; losses.len()]
        };
        let weights: Vec<f64> = shares.iter().zip(&losses).map(|(share, l)| share / l).collect();
        Ok(Solution::given(seen.gram, &weights, 1.0))
    }
}
