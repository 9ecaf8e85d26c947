//! Alpha-fair weights as a weighting: `A w = w^(-1/alpha)` (Ban and Ji, *Fair Resource Allocation in
//! Multi-Task Learning*, ICML 2024, equation 4; FairHuman, arXiv 2507.02714, with alpha = 2). The solvers are
//! in `crate::alpha_fair`.
//!
//! An objective's share of the direction goes like `|g_i|^((1-alpha)/(1+alpha))` for orthogonal gradients:
//! with alpha above 1 an objective whose loss is scaled *up* is served *less*. Two parameters say instead
//! what is meant: `priority`, which serves an objective more, and `normalise = "gradient"`, which solves for
//! the unit gradients, so that neither the scale of a loss nor the area of its region matters.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{GramWeighting, Needs, Observation, State};
use crate::alpha_fair::{check_alpha, check_priorities, solve_with_priorities};
use crate::{Solution, WeightingError};

/// Alpha-fair weights from the Gram matrix, see [`crate::solve`] and [`crate::solve_with_priorities`].
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
    /// One positive number per objective, in their order, all 1 if left out: an objective with a larger one
    /// is served more, see [`crate::solve_with_priorities`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priority: Vec<f64>,
    /// The gradients that the weights are solved for.
    #[serde(default, skip_serializing_if = "Normalise::is_none")]
    pub normalise: Normalise,
}

/// The gradients that weights are solved for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// The gradients as they are, as in the papers.
    #[default]
    None,
    /// The gradients divided by their norms. The direction then has nothing of the norms: `w_i g_i` is the
    /// same for a gradient of any length.
    Gradient,
}

impl Normalise {
    fn is_none(&self) -> bool {
        *self == Normalise::None
    }
}

impl AlphaFair {
    /// The paper's weights for an alpha: without priorities, of the gradients as they are.
    pub fn new(alpha: f64) -> Self {
        AlphaFair { alpha, priority: Vec::new(), normalise: Normalise::None }
    }
}

impl Default for AlphaFair {
    fn default() -> Self {
        AlphaFair::new(minimum_potential_delay())
    }
}

impl GramWeighting for AlphaFair {
    fn needs(&self) -> Needs {
        // The plain sum, with the priorities as weights.
        if self.alpha == 0.0 && self.normalise == Normalise::None { Needs::NOTHING } else { Needs::GRAM }
    }

    fn validate(&self, objectives: usize) -> Result<(), WeightingError> {
        check_alpha(self.alpha)?;
        match self.priority.is_empty() {
            true => Ok(()),
            false => check_priorities(&self.priority, objectives, self.alpha),
        }
    }

    fn label(&self) -> String {
        let mut label = match self.alpha {
            0.0 => "plain sum".into(),
            2.0 => "Minimum Potential Delay (alpha 2)".into(),
            f64::INFINITY => "max-min".into(),
            alpha => format!("alpha-fair (alpha {alpha})"),
        };
        if !self.priority.is_empty() {
            let priorities: Vec<String> = self.priority.iter().map(f64::to_string).collect();
            label += &format!(", priorities [{}]", priorities.join(", "));
        }
        if self.normalise == Normalise::Gradient {
            label += ", of unit gradients";
        }
        label
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let all_1 = vec![1.0; seen.gram.k()];
        let priorities = if self.priority.is_empty() { &all_1 } else { &self.priority };
        if self.normalise == Normalise::None {
            return solve_with_priorities(seen.gram, self.alpha, priorities);
        }
        let mut solution = solve_with_priorities(&seen.gram.unit(), self.alpha, priorities)?;
        for i in seen.gram.present() {
            solution.weights[i] /= seen.gram.at(i, i).sqrt();
        }
        solution.rates = seen.gram.rates(&solution.weights);
        Ok(solution)
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
