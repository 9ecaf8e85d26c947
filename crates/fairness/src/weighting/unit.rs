//! Gradients of norm 1, added: `w_i = 1 / |g_i|`. The simplest balance of gradients, whose direction is that
//! of alpha-fair weights with alpha = 1 where the gradients are orthogonal (or any two).

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// Weights that make all gradients equally long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {}

impl GramWeighting for Unit {
    fn needs(&self) -> Needs {
        Needs::GRAM
    }

    fn label(&self) -> String {
        "unit gradients".into()
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let mut weights = vec![0.0; seen.gram.k()];
        for i in seen.gram.present() {
            weights[i] = 1.0 / seen.gram.at(i, i).sqrt();
        }
        Ok(Solution::given(seen.gram, &weights, 1.0))
    }
}
