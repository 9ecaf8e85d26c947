//! FAMO with moving averages: the weights of [`super::Famo`], with another update of the logits xi.
//!
//! FAMO evaluates the losses of the same batch again after the step: one more forward pass. Here xi follows
//! the change of the losses' moving averages from step to step, without that pass: `delta_i = log(average
//! before) - log(average now)`. It is noisier than the original, as the averages also change with the time
//! steps drawn, and results with it are not results of FAMO.

use serde::{Deserialize, Serialize};

use super::average::{Averages, loss_decay};
use super::check::check_decay;
use super::famo::{check_settings, gamma, learning_rate, move_logits, weights};
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

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

impl GramWeighting for FamoEma {
    fn needs(&self) -> Needs {
        Needs::LOSSES
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_settings(self.learning_rate, self.gamma)?;
        check_decay(self.loss_decay)
    }

    fn label(&self) -> String {
        "FAMO with averaged losses".into()
    }

    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError> {
        let averages = Averages::update(self.loss_decay, seen, state)?;
        let mut known = seen.gram.present();
        known.retain(|&i| averages.before[i].is_some());
        let fall = |i: usize| averages.before[i].map_or(0.0, |before| libm::log(before / averages.now[i]));
        let falls: Vec<f64> = (0..seen.gram.k()).map(fall).collect();
        let logits = move_logits(&falls, &known, (self.learning_rate, self.gamma), state)?;
        Ok(weights(seen, &logits, &averages.now))
    }
}
