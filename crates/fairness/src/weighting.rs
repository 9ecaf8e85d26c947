//! The choice of a weighting as data, the way a recipe states it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::solve::given;
use crate::{Gram, Solution, solve};

/// How the objectives' gradients are weighted. In a recipe:
///
/// ```toml
/// weighting = { kind = "alpha-fair", alpha = 2.0 }        # the default: Minimum Potential Delay
/// # weighting = { kind = "alpha-fair", alpha = inf }      # max-min
/// # weighting = { kind = "linear" }                       # the plain sum
/// # weighting = { kind = "fixed", weights = [1, 5, 20] }  # in the order of the objectives
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Weighting {
    /// Alpha-fair weights from the Gram matrix, see [`crate::solve`].
    AlphaFair {
        /// From 0 (sum) over 1 (proportional) and 2 (Minimum Potential Delay) to infinity (max-min).
        #[serde(
            default = "minimum_potential_delay",
            serialize_with = "write_alpha",
            deserialize_with = "read_alpha"
        )]
        alpha: f64,
    },
    /// The gradient of the plain sum of the losses: every weight is 1.
    Linear {},
    /// The gradient of a weighted sum of the losses, with weights that never change.
    Fixed {
        /// One non-negative weight per objective.
        weights: Vec<f64>,
    },
}

impl Default for Weighting {
    fn default() -> Self {
        let alpha = minimum_potential_delay();
        Weighting::AlphaFair { alpha }
    }
}

/// Why a weighting cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightingError {
    /// Alpha is negative or NaN.
    #[error("alpha is {found}; it must be 0 (sum), positive, or inf (max-min)")]
    Alpha {
        /// The value given.
        found: f64,
    },
    /// Not one fixed weight per objective.
    #[error("{found} fixed weights for {expected} objectives; give one each, in their order")]
    FixedCount {
        /// Number of objectives.
        expected: usize,
        /// Number of weights.
        found: usize,
    },
    /// A fixed weight is negative or not finite.
    #[error("fixed weight {index} is {found}; weights must be finite and not negative")]
    FixedValue {
        /// Position, from 0.
        index: usize,
        /// The value given.
        found: f64,
    },
    /// All fixed weights are zero.
    #[error("all fixed weights are 0; nothing would be trained")]
    FixedZero,
}

impl Weighting {
    /// Checks the weighting for a number of objectives, before anything is trained with it.
    ///
    /// # Errors
    /// [`WeightingError`] says which value is wrong.
    pub fn validate(&self, objectives: usize) -> Result<(), WeightingError> {
        match self {
            Weighting::AlphaFair { alpha } if alpha.is_nan() || *alpha < 0.0 => {
                Err(WeightingError::Alpha { found: *alpha })
            }
            Weighting::AlphaFair { .. } | Weighting::Linear {} => Ok(()),
            Weighting::Fixed { weights } => {
                if weights.len() != objectives {
                    return Err(WeightingError::FixedCount { expected: objectives, found: weights.len() });
                }
                let bad = |w: &f64| !w.is_finite() || *w < 0.0;
                if let Some(index) = weights.iter().position(bad) {
                    let found = weights[index];
                    return Err(WeightingError::FixedValue { index, found });
                }
                match weights.iter().all(|&w| w == 0.0) {
                    true => Err(WeightingError::FixedZero),
                    false => Ok(()),
                }
            }
        }
    }
}

/// The weights of a weighting for one step's Gram matrix.
///
/// # Errors
/// [`WeightingError`] when the weighting does not fit the number of objectives or is invalid.
pub fn weigh(gram: &Gram, weighting: &Weighting) -> Result<Solution, WeightingError> {
    weighting.validate(gram.k())?;
    match weighting {
        Weighting::AlphaFair { alpha } => solve(gram, *alpha),
        Weighting::Linear {} => Ok(given(gram, &vec![1.0; gram.k()], 1.0)),
        Weighting::Fixed { weights } => Ok(given(gram, weights, 1.0)),
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
    if alpha >= 0.0 {
        Ok(alpha)
    } else {
        let error = crate::WeightingError::Alpha { found: alpha };
        Err(serde::de::Error::custom(error))
    }
}
