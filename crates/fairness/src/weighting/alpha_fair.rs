//! Alpha-fair weights as a weighting: `A w = w^(-1/alpha)` (Ban and Ji, *Fair Resource Allocation in
//! Multi-Task Learning*, ICML 2024, equation 4; FairHuman, arXiv 2507.02714, with alpha = 2). The solvers are
//! in `crate::alpha_fair`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{GramWeighting, Observation, State};
use crate::alpha_fair::{check_alpha, solve};
use crate::{Solution, WeightingError};

/// Alpha-fair weights from the Gram matrix, see [`crate::solve`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaFair {
    /// From 0 (sum) over 1 (proportional) and 2 (Minimum Potential Delay) to infinity (max-min).
    #[serde(
        default = "minimum_potential_delay",
        serialize_with = "write_alpha",
        deserialize_with = "read_alpha"
    )]
    pub alpha: f64,
}

impl Default for AlphaFair {
    fn default() -> Self {
        AlphaFair { alpha: minimum_potential_delay() }
    }
}

impl GramWeighting for AlphaFair {
    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        check_alpha(self.alpha)
    }

    fn label(&self) -> String {
        match self.alpha {
            0.0 => "plain sum".into(),
            2.0 => "Minimum Potential Delay (alpha 2)".into(),
            f64::INFINITY => "max-min".into(),
            alpha => format!("alpha-fair (alpha {alpha})"),
        }
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        solve(seen.gram, self.alpha)
    }
}

fn minimum_potential_delay() -> f64 {
    2.0
}

/// JSON has no infinity, so that one is written as the word.
fn write_alpha<S: Serializer>(alpha: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if alpha.is_infinite() { serializer.serialize_str("inf") } else { serializer.serialize_f64(*alpha) }
}

fn read_alpha<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "alpha must be a number from 0, or inf")]
    enum Written {
        Number(f64),
        Word(String),
    }
    let alpha = match Written::deserialize(deserializer)? {
        Written::Number(alpha) => alpha,
        Written::Word(word) if word == "inf" => f64::INFINITY,
        Written::Word(word) => {
            let message = format!("alpha is \"{word}\"; expected a number from 0, or inf");
            return Err(serde::de::Error::custom(message));
        }
    };
    check_alpha(alpha).map_err(serde::de::Error::custom)?;
    Ok(alpha)
}
