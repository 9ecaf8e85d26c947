//! Replaying a recorded step: the same numbers, and how long they take.

use std::path::Path;

use fairhuman_diffusion::net::ModelError;
use fairhuman_engine::{Backend, Params};
use fairhuman_fairness::State;

use crate::aggregate::{Position, fair_direction};
use crate::gradient::{clip_factor, objective_gradients};
use crate::group::Single;
use crate::method::{Method, lora};
use crate::module::PassContext;
use crate::optimizer::{Moments, update};
use crate::record;
use crate::recorded::{RecordedStep, TensorFile};
use crate::step_error::StepError;

/// Why a step could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The model or the adapter.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The step's numbers.
    #[error("the recorded step cannot be taken: {0}")]
    Refused(#[from] StepError),
    /// The adapter's values.
    #[error("{0}")]
    Adapter(String),
}

/// Seconds of one replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// Forward pass.
    pub forward: f64,
    /// Backward pass.
    pub backward: f64,
    /// Gram matrix, weights, combination.
    pub solve: f64,
    /// Clipping and optimiser.
    pub update: f64,
    /// The whole step.
    pub step: f64,
}

/// Runs a recorded step `repeats` times (at least once), every time from the recorded state. `before` is told
/// each repeat's number. Returns what the step gave and the times of each repeat.
///
/// # Errors
/// A model or an adapter that does not fit the step, numbers that are not finite.
pub fn replay<B: Backend>(
    context: &PassContext<'_, B>,
    folder: &Path,
    step: &RecordedStep,
    repeats: usize,
    before: &mut dyn FnMut(usize),
) -> Result<(TensorFile, Vec<Times>), ReplayError> {
    let backend = context.backend;
    let mut params = Params::default();
    let adapted = lora::open_recorded(backend, folder, &step.lora, step.lora_alpha, &mut params)?;
    let recorded: Vec<B::Tensor> = params.iter().map(|p| p.value.clone()).collect();
    let batches = std::slice::from_ref(&step.batch);
    let mut times = Vec::new();
    let mut last = None;
    for repeat in 0..repeats.max(1) {
        before(repeat);
        drop(last.take());
        params.ids().zip(&recorded).for_each(|(id, value)| params.set(id, value.clone()));
        let mut moments = Moments::new(backend, &params);

        let start = (context.clock)();
        let gradients =
            objective_gradients(context, &Single, &adapted, &params, &step.objectives, (batches, 0))?;
        // A recorded step stands alone, without the memory of the steps before it.
        let (seed, number) = step.position;
        let position = Position { seed, step: number, state: &State::default() };
        let direction = fair_direction(context, &step.objectives, &step.weighting, &gradients, position)?;
        let solved = (context.clock)();
        let clip = clip_factor(direction.norm, step.max_grad_norm);
        let optimizer = step.optimizer;
        let rate = optimizer.learning_rate;
        update(backend, &mut params, &mut moments, &direction.combined, clip, &optimizer, rate);
        let end = (context.clock)();

        times.push(Times {
            forward: gradients.forward,
            backward: gradients.backward,
            solve: direction.seconds,
            update: end - solved,
            step: end - start,
        });
        last = Some((gradients, direction));
    }
    let Some((gradients, direction)) = last else {
        return Err(ReplayError::Adapter("no step was run".into()));
    };
    let values = adapted.record_values(backend, &params).map_err(ReplayError::Adapter)?;
    Ok((record::outputs(&step.batch.targets, &gradients, &direction, values), times))
}
