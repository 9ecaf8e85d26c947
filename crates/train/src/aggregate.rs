//! From the objectives' gradients to the one gradient that the parameters are given.
//!
//! Weightings that need no more than the Gram matrix and the losses live in `fairhuman_fairness`, one file each, and
//! are all used through [`GramAggregator`]. A method that looks at gradients element by element implements
//! [`Aggregator`] here; it has a direction but no weights.

use fairhuman_engine::Backend;
use fairhuman_fairness::{Gram, Observation, Solution, State, Weighting, cosines, weigh};

use crate::gradient::Gradients;
use crate::module::PassContext;
use crate::objective::Objective;
use crate::step_error::StepError;

/// A rule that makes one gradient of the objectives' gradients. It keeps nothing between steps: a resumed run has the
/// same bits.
pub trait Aggregator<B: Backend>: Sync {
    /// The gradient for the parameters, from those of all objectives.
    ///
    /// # Errors
    /// A gradient that is not finite, with its objective.
    fn aggregate(
        &self,
        context: &PassContext<'_, B>,
        gram: &Gram,
        gradients: &Gradients<B>,
    ) -> Result<Aggregate<B>, StepError>;
}

/// The answer of an [`Aggregator`].
pub struct Aggregate<B: Backend> {
    /// The gradient of every parameter, not clipped; none where no objective reaches the parameter.
    pub combined: Vec<Option<B::Tensor>>,
    /// Weights, rates and how they were found; none where the gradient is no weighted sum.
    pub solution: Option<Solution>,
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
    /// Seconds from the gradients to the combined gradient.
    pub seconds: f64,
}

/// `K sum_i w_i g_i` with the weights of a [`Weighting`].
pub struct GramAggregator<'a> {
    /// The weighting.
    pub weighting: &'a Weighting,
    /// The run's seed.
    pub seed: u64,
    /// The step, counted from 1.
    pub step: u64,
}

impl<B: Backend> Aggregator<B> for GramAggregator<'_> {
    fn aggregate(
        &self,
        context: &PassContext<'_, B>,
        gram: &Gram,
        gradients: &Gradients<B>,
    ) -> Result<Aggregate<B>, StepError> {
        let seen = Observation { gram, losses: &gradients.losses, seed: self.seed, step: self.step };
        let solution = weigh(self.weighting, &seen, &mut State::default()).map_err(|e| refuse(&e))?;
        let combined = gradients.grads.combine(context.backend, &solution.combination());
        Ok(Aggregate { combined, solution: Some(solution) })
    }
}

/// The direction of a step.
///
/// # Errors
/// A gradient that is not finite, with its objective.
pub fn fair_direction<B: Backend>(
    context: &PassContext<'_, B>,
    objectives: &[Objective],
    aggregator: &dyn Aggregator<B>,
    gradients: &Gradients<B>,
) -> Result<Direction<B>, StepError> {
    let start = (context.clock)();
    let absent: Vec<bool> = gradients.present.iter().map(|&lanes| lanes == 0).collect();
    let names = objectives.iter().map(|o| o.name.as_str());
    let backend = context.backend;
    let products = backend.scope(|| gradients.grads.gram(backend));
    let gram =
        Gram::new(names, products).and_then(|gram| gram.with_absent(&absent)).map_err(|e| refuse(&e))?;
    let (Aggregate { combined, solution }, norm) = backend.scope(|| {
        let aggregate = aggregator.aggregate(context, &gram, gradients)?;
        let norm = backend.norm(&aggregate.combined.iter().flatten().collect::<Vec<_>>());
        Ok((aggregate, norm))
    })?;
    if !norm.is_finite() {
        return Err(StepError::Gradient { problem: format!("the combined gradient's norm is {norm}") });
    }
    let seconds = (context.clock)() - start;
    Ok(Direction { gram: gram.values().to_vec(), cosines: cosines(&gram), solution, combined, norm, seconds })
}

fn refuse(e: &dyn std::error::Error) -> StepError {
    StepError::Gradient { problem: e.to_string() }
}
