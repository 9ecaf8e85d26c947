//! Replaying a recorded step: the same numbers, and how long they take.

use std::path::Path;

use fairhuman_diffusion::net::ModelError;
use fairhuman_engine::Backend;

use crate::gradient::{Denoising, Refused, Run, clip_factor, fair_direction, objective_gradients};
use crate::optimizer::{Moments, update};
use crate::recorded::{Inputs, TensorFile};
use crate::{model, record};

/// Why a step could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The model or the adapter.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The step's numbers.
    #[error("the recorded step cannot be taken: {0}")]
    Refused(#[from] Refused),
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
    run: &Run<'_, B>,
    folder: &Path,
    inputs: &Inputs,
    repeats: usize,
    before: &mut dyn FnMut(usize),
) -> Result<(TensorFile, Vec<Times>), ReplayError> {
    let mut adapted = model::load_recorded(run.backend, folder, &inputs.lora, inputs.lora_alpha)?;
    let recorded: Vec<B::Tensor> = adapted.params.iter().map(|p| p.value.clone()).collect();
    let batches = std::slice::from_ref(&inputs.batch);
    let mut times = Vec::new();
    let mut last = None;
    for repeat in 0..repeats.max(1) {
        before(repeat);
        drop(last.take());
        let params = &mut adapted.params;
        params.ids().zip(&recorded).for_each(|(id, value)| params.set(id, value.clone()));
        let mut moments = Moments::new(run.backend, params);

        let start = (run.clock)();
        let gradients =
            objective_gradients(run, &Denoising(&adapted.unet), params, &inputs.objectives, batches)?;
        let direction = fair_direction(run, &inputs.objectives, &inputs.weighting, &gradients)?;
        let solved = (run.clock)();
        let clip = clip_factor(direction.norm, inputs.max_grad_norm);
        let optimizer = inputs.optimizer;
        update(
            run.backend,
            params,
            &mut moments,
            &direction.combined,
            clip,
            &optimizer,
            optimizer.learning_rate,
        );
        let end = (run.clock)();

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
    let values = record::adapter(run.backend, &adapted.unet, &adapted.params, &adapted.modules)
        .map_err(ReplayError::Adapter)?;
    Ok((record::outputs(&inputs.batch, &gradients, &direction, values), times))
}
