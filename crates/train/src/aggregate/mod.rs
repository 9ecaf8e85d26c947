//! From the objectives' gradients to the one gradient that the parameters are given: `weighting` in a recipe.
//!
//! Weightings that need no more than the Gram matrix and the losses live in `fairhuman_fairness`, one file
//! each. A method that looks at gradients element by element is an [`Aggregator`], one file here and one line
//! in [`Rule`]; it has a direction but no weights.

mod direction;
mod graddrop;
mod replayed;
mod rule;

use fairhuman_engine::Backend;
use fairhuman_fairness::{Gram, State};

pub use direction::{
    Direction, Position, SecondPass, fair_direction, memory_after, summed_direction, weights_before,
};
pub use graddrop::GradDrop;
pub use replayed::Replay;
pub use rule::{Rule, Weighting};

use crate::gradient::Gradients;
use crate::module::PassContext;

/// A rule that makes one gradient of the objectives' gradients, element by element.
pub trait Aggregator<B: Backend>: Sync {
    /// The gradient of every parameter, not clipped, from those of all objectives; none where no objective
    /// reaches the parameter. Random numbers come from the seed and the step alone, and what is remembered
    /// from step to step is the state, so that a resumed run has the same bits.
    ///
    /// # Errors
    /// Numbers that the rule cannot work with, in words.
    fn aggregate(
        &self,
        context: &PassContext<'_, B>,
        seen: &Seen<'_, B>,
        state: &mut State,
    ) -> Result<Vec<Option<B::Tensor>>, String>;
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
}
