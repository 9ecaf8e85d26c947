//! DWA: weights by the rate at which each loss fell between two epochs, `w = K softmax(r / T)` with `r_i` the
//! mean loss of the last epoch over that of the one before (Liu, Johns and Davison, *End-to-End Multi-Task
//! Learning with Attention*, CVPR 2019, arXiv 1803.10704, equation 7).
//!
//! Epochs are windows of steps here, counted for each objective by the steps in which it is present.
//! Diffusion losses depend on the time steps drawn, so a window must be long enough for its mean to show
//! progress. Until an objective has two windows its r is 1.

use serde::{Deserialize, Serialize};

use super::average::check_losses;
use super::check::{check_positive, check_within};
use super::softmax::softmax;
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// Weights by the relative fall of the losses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dwa {
    /// The softmax's temperature T, 2 by default as in the paper; a large one makes weights equal.
    #[serde(default = "temperature")]
    pub temperature: f64,
    /// Steps of a window, 100 by default.
    #[serde(default = "window")]
    pub window: u32,
}

fn temperature() -> f64 {
    2.0
}

fn window() -> u32 {
    100
}

impl GramWeighting for Dwa {
    fn needs(&self) -> Needs {
        Needs::LOSSES
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_within("temperature", self.temperature, 1e-3, 1e6)?;
        check_positive("window", f64::from(self.window))
    }

    fn label(&self) -> String {
        format!("DWA (temperature {}, windows of {} steps)", self.temperature, self.window)
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        check_losses(seen)?;
        let k = seen.gram.k();
        let present = seen.gram.present();
        // Means of the last window and of the one before, 0 where there is none yet.
        let mut last = state.list("last", k, 0.0)?;
        let mut before = state.list("before", k, 0.0)?;
        let mut sum = state.list("sum", k, 0.0)?;
        let mut count = state.list("count", k, 0.0)?;
        let rates =
            last.iter().zip(&before).map(|(last, before)| if *before > 0.0 { last / before } else { 1.0 });
        let exponents: Vec<f64> = rates.map(|r| r / self.temperature).collect();
        let number = present.len() as f64;
        let weights: Vec<f64> = softmax(&exponents, &present).iter().map(|p| number * p).collect();
        for i in present {
            sum[i] += seen.losses[i];
            count[i] += 1.0;
            if count[i] >= f64::from(self.window) {
                before[i] = last[i];
                last[i] = sum[i] / count[i];
                (sum[i], count[i]) = (0.0, 0.0);
            }
        }
        for (name, values) in [("last", last), ("before", before), ("sum", sum), ("count", count)] {
            state.set(name, values);
        }
        Ok(Solution::given(seen.gram, &weights, 1.0))
    }
}
