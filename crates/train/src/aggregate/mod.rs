//! From the objectives' gradients to the one gradient that the parameters are given: `weighting` in a recipe.
//!
//! Weightings that need no more than the Gram matrix and the losses live in `fairhuman_fairness`, one file
//! each, and are all used through `gram.rs`. A method that looks at gradients element by element is an
//! [`Aggregator`] of its own, one file here and one line in [`Weighting`]; it has a direction but no weights.

mod graddrop;
mod gram;

use fairhuman_engine::Backend;
use fairhuman_fairness::{self as fairness, Gram, Solution, State, cosines};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub use graddrop::GradDrop;

use crate::gradient::Gradients;
use crate::module::PassContext;
use crate::objective::Objective;
use crate::step_error::StepError;

/// The rule that makes one gradient of the objectives' gradients.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Weighting {
    /// A weighted sum, whose weights follow from the Gram matrix and the losses.
    Gram(fairness::Weighting),
    /// See [`GradDrop`].
    GradDrop(GradDrop),
}

impl Weighting {
    fn aggregator<B: Backend>(&self) -> &dyn Aggregator<B> {
        match self {
            Weighting::Gram(weighting) => weighting,
            Weighting::GradDrop(method) => method,
        }
    }

    /// Checks the weighting for a number of objectives, before anything is trained with it.
    ///
    /// # Errors
    /// The value that is wrong, in words.
    pub fn validate(&self, objectives: usize) -> Result<(), String> {
        match self {
            Weighting::Gram(weighting) => weighting.validate(objectives).map_err(|e| e.to_string()),
            Weighting::GradDrop(_) => Ok(()),
        }
    }

    /// The method with its parameters in a few words, for reports.
    pub fn label(&self) -> String {
        match self {
            Weighting::Gram(weighting) => weighting.label(),
            Weighting::GradDrop(_) => "GradDrop".into(),
        }
    }
}

impl Default for Weighting {
    /// Minimum Potential Delay.
    fn default() -> Self {
        Weighting::Gram(fairness::Weighting::default())
    }
}

impl From<fairness::Weighting> for Weighting {
    fn from(weighting: fairness::Weighting) -> Self {
        Weighting::Gram(weighting)
    }
}

impl<'de> Deserialize<'de> for Weighting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(deserializer)?;
        let kind = table.get("kind").and_then(toml::Value::as_str).unwrap_or_default();
        if kind == GradDrop::KIND {
            table.remove("kind");
            return table.try_into().map(Weighting::GradDrop).map_err(D::Error::custom);
        }
        let known = fairness::Weighting::KINDS;
        if !known.contains(&kind) {
            let known = known.join("\", \"");
            let text = format!("weighting: expected kind = \"{known}\" or \"{}\"", GradDrop::KIND);
            return Err(D::Error::custom(text));
        }
        table.try_into().map(Weighting::Gram).map_err(D::Error::custom)
    }
}

/// A rule that makes one gradient of the objectives' gradients.
pub trait Aggregator<B: Backend>: Sync {
    /// The gradient for the parameters, from those of all objectives. Random numbers come from the seed and
    /// the step alone, and what is remembered from step to step is the state, so that a resumed run has the
    /// same bits.
    ///
    /// # Errors
    /// Numbers that the rule cannot work with, in words.
    fn aggregate(&self, context: &PassContext<'_, B>, seen: &Seen<'_, B>) -> Result<Aggregate<B>, String>;
}

/// The inputs of an [`Aggregator`] in one step.
pub struct Seen<'a, B: Backend> {
    /// The gradients' inner products, with the absent objectives marked.
    pub gram: &'a Gram,
    /// The gradients and losses.
    pub gradients: &'a Gradients<B>,
    /// The run's seed.
    pub seed: u64,
    /// The step, counted from 1.
    pub step: u64,
    /// The memory of the steps before.
    pub state: &'a State,
}

/// The answer of an [`Aggregator`].
pub struct Aggregate<B: Backend> {
    /// The gradient of every parameter, not clipped; none where no objective reaches the parameter.
    pub combined: Vec<Option<B::Tensor>>,
    /// Weights, rates and how they were found; none where the gradient is no weighted sum.
    pub solution: Option<Solution>,
    /// The memory for the next step.
    pub state: State,
}

/// The gradient that the parameters are given.
pub struct Direction<B: Backend> {
    /// Products of the objectives' gradients, row-major `K x K`.
    pub gram: Vec<f64>,
    /// Their cosines, 0 for absent objectives.
    pub cosines: Vec<f64>,
    /// Weights, rates and how they were found; none where the gradient is no weighted sum.
    pub solution: Option<Solution>,
    /// The gradient of every parameter, not clipped; none where nothing reaches the parameter.
    pub combined: Vec<Option<B::Tensor>>,
    /// Its norm over all parameters.
    pub norm: f64,
    /// The weighting's memory, to be kept once the step is taken.
    pub state: State,
    /// Seconds from the gradients to the combined gradient.
    pub seconds: f64,
}

/// Where in a run a direction is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The step, counted from 1.
    pub step: u64,
    /// The weighting's memory of the steps before.
    pub state: &'a State,
}

/// Computes the gradient of the objectives' sum with the given coefficients anew, where gradients were not
/// kept.
pub type SecondPass<'a, B> = &'a dyn Fn(&[f64]) -> Result<Vec<Option<<B as Backend>::Tensor>>, StepError>;

/// The direction of a step. `second_pass`: where the gradients were not kept, only their products.
///
/// # Errors
/// A gradient that is not finite, with its objective; memory that cannot be had.
pub fn fair_direction<B: Backend>(
    context: &PassContext<'_, B>,
    objectives: &[Objective],
    weighting: &Weighting,
    gradients: &Gradients<B>,
    position: Position<'_>,
    second_pass: Option<SecondPass<'_, B>>,
) -> Result<Direction<B>, StepError> {
    let refuse = |problem: String| StepError::Gradient { problem };
    let start = (context.clock)();
    let absent: Vec<bool> = gradients.present.iter().map(|&lanes| lanes == 0).collect();
    let names = objectives.iter().map(|o| o.name.as_str());
    let backend = context.backend;
    let products = backend.attempt(|| backend.scope(|| gradients.grads.gram(backend)))?;
    let gram = Gram::new(names, products)
        .and_then(|gram| gram.with_absent(&absent))
        .map_err(|e| refuse(e.to_string()))?;
    let Position { seed, step, state } = position;
    let seen = Seen { gram: &gram, gradients, seed, step, state };
    let aggregate = || weighting.aggregator().aggregate(context, &seen).map_err(refuse);
    let Aggregate { mut combined, solution, state } = backend.attempt(|| backend.scope(aggregate))??;
    let seconds = (context.clock)() - start;
    if let Some(second_pass) = second_pass {
        let needed = "a weighting without weights needs the gradients themselves";
        let solution = solution.as_ref().ok_or_else(|| refuse(needed.into()))?;
        combined = second_pass(&solution.combination())?;
    }
    let norm = || backend.norm(&combined.iter().flatten().collect::<Vec<_>>());
    let norm = backend.attempt(|| backend.scope(norm))?;
    if !norm.is_finite() {
        return Err(refuse(format!("the combined gradient's norm is {norm}")));
    }
    let (gram, cosines) = (gram.values().to_vec(), cosines(&gram));
    Ok(Direction { gram, cosines, solution, combined, norm, state, seconds })
}
