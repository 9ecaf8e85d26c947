//! A weighted sum of the losses whose weights are set by hand.

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// The gradient of a weighted sum of the losses, with weights that never change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// One non-negative weight per objective.
    pub weights: Vec<f64>,
}

impl GramWeighting for Fixed {
    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

    fn validate(&self, objectives: usize) -> Result<(), WeightingError> {
        let refuse = |problem| Err(WeightingError::Parameter { name: "weights", problem });
        let found = self.weights.len();
        if found != objectives {
            let rule = "give one each, in their order";
            return refuse(format!("{found} fixed weights for {objectives} objectives; {rule}"));
        }
        let bad = |(_, w): &(usize, &f64)| !w.is_finite() || **w < 0.0;
        if let Some((index, found)) = self.weights.iter().enumerate().find(bad) {
            let rule = "weights must be finite and not negative";
            return refuse(format!("fixed weight {index} is {found}; {rule}"));
        }
        match self.weights.iter().all(|&w| w == 0.0) {
            true => refuse("all fixed weights are 0; nothing would be trained".into()),
            false => Ok(()),
        }
    }

    fn label(&self) -> String {
        let weights: Vec<String> = self.weights.iter().map(f64::to_string).collect();
        format!("fixed weights [{}]", weights.join(", "))
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        Ok(Solution::given(seen.gram, &self.weights, 1.0))
    }
}
