//! The plain sum of the losses, the baseline that a tuned static sum starts from (Kurin et al., *In Defense
//! of the Unitary Scalarization for Deep Multi-Task Learning*, NeurIPS 2022).

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// The gradient of the plain sum of the losses: every weight is 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {}

impl GramWeighting for Linear {
    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

    fn label(&self) -> String {
        "plain sum".into()
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        Ok(Solution::given(seen.gram, &vec![1.0; seen.gram.k()], 1.0))
    }
}
