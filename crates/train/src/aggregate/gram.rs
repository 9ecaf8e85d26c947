//! Weighted sums: `sum_i c_i g_i`, where the weights follow from the Gram matrix and the losses.

use fairhuman_engine::Backend;
use fairhuman_fairness::{Observation, Weighting, weigh};

use super::{Aggregate, Aggregator, Seen};
use crate::module::PassContext;

impl<B: Backend> Aggregator<B> for Weighting {
    fn aggregate(&self, context: &PassContext<'_, B>, seen: &Seen<'_, B>) -> Result<Aggregate<B>, String> {
        let &Seen { gram, gradients, seed, step, state } = seen;
        let mut state = state.clone();
        let observation = Observation { gram, losses: &gradients.losses, seed, step };
        let solution = weigh(self, &observation, &mut state).map_err(|e| e.to_string())?;
        let combined = gradients.grads.combine(context.backend, &solution.combination());
        Ok(Aggregate { combined, solution: Some(solution), state })
    }
}
