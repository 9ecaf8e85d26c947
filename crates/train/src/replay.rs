//! Replaying a recorded step: the same numbers, and how long they take.

use std::path::Path;

use fairhuman_diffusion::adapter::Adapter;
use fairhuman_diffusion::control::{self, ControlKind};
use fairhuman_diffusion::controlnet::ControlNet;
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::unet::UNet;
use fairhuman_engine::{Backend, Params};

use crate::aggregate::Position;
use crate::batch::Batch;
use crate::controlled::{Controlled, ControlledInputs};
use crate::gradient::clip_factor;
use crate::group::ShardedGroup;
use crate::method::{Method, lora};
use crate::module::PassContext;
use crate::optimizer::{Moments, update};
use crate::recipe::GradientUse;
use crate::record;
use crate::recorded::{RecordedStep, TensorFile, Trained};
use crate::step::{Plan, step_direction};
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
    /// The trained part.
    #[error("{0}")]
    Trained(String),
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

/// Runs a recorded step `repeats` times (at least once), every time from the recorded state. `control` is the
/// folder or file of the control network, where the step has one. `before` is told each repeat's number.
/// Returns what the step gave and the times of each repeat.
///
/// # Errors
/// A model or a trained part that does not fit the step, numbers that are not finite.
pub fn replay<B: Backend>(
    context: &PassContext<'_, B>,
    (model, control): (&Path, Option<&Path>),
    step: &RecordedStep,
    (repeats, gradients): (usize, GradientUse),
    before: &mut dyn FnMut(usize),
) -> Result<(TensorFile, Vec<Times>), ReplayError> {
    let backend = context.backend;
    let mut params = Params::default();
    match (&step.trained, control) {
        (Trained::Lora { values, alpha }, None) => {
            let adapted = lora::open_recorded(backend, model, values, *alpha, &mut params)?;
            repeat(context, &adapted, params, step, &step.batch, (repeats, gradients), before)
        }
        (Trained::Lora { .. }, Some(_)) => Err(ReplayError::Trained(
            "the recorded step trains a LoRA, and a control network was given".into(),
        )),
        (Trained::Control { .. }, None) => Err(ReplayError::Trained(
            "the recorded step trains a control network: its folder is needed".into(),
        )),
        (Trained::Control { images, reduction }, Some(path)) => {
            let Batch { targets, inputs } = step.batch.clone();
            let inputs =
                ControlledInputs { denoising: inputs, control: images.clone(), reduction: *reduction };
            let batch = Batch { targets, inputs };
            let folder = model.join("unet");
            let unet = UNet::load(backend, &folder, Trainable::None)?;
            let trained = Trainable::All(&mut params);
            match control::kind(path)? {
                ControlKind::ControlNet => {
                    let control = ControlNet::load(backend, path, &folder, trained)?;
                    let controlled = Controlled { unet, control };
                    repeat(context, &controlled, params, step, &batch, (repeats, gradients), before)
                }
                ControlKind::Adapter => {
                    let control = Adapter::load(backend, path, *reduction, trained)?;
                    let controlled = Controlled { unet, control };
                    repeat(context, &controlled, params, step, &batch, (repeats, gradients), before)
                }
            }
        }
    }
}

fn repeat<B: Backend, M: Method<B>>(
    context: &PassContext<'_, B>,
    module: &M,
    mut params: Params<B>,
    step: &RecordedStep,
    batch: &Batch<M::Inputs>,
    (repeats, gradients): (usize, GradientUse),
    before: &mut dyn FnMut(usize),
) -> Result<(TensorFile, Vec<Times>), ReplayError> {
    let backend = context.backend;
    let plan = Plan { objectives: &step.objectives, weighting: &step.weighting, gradients };
    let recorded: Vec<B::Tensor> = params.iter().map(|p| p.value.clone()).collect();
    let batches = std::slice::from_ref(batch);
    let processes = ShardedGroup::single();
    let mut times = Vec::new();
    let mut last = None;
    for repeat in 0..repeats.max(1) {
        before(repeat);
        drop(last.take());
        params.ids().zip(&recorded).for_each(|(id, value)| params.set(id, value.clone()));
        let mut moments = Moments::new(backend, &params, &processes);

        let start = (context.clock)();
        let (seed, number) = step.position;
        let position = Position { seed, step: number, state: &step.memory };
        let network = (module, &params);
        let (gradients, direction) =
            step_direction(context, &processes, network, plan, (batches, 0), position)?;
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
        return Err(ReplayError::Trained("no step was run".into()));
    };
    let values = module.record_values(backend, &params).map_err(ReplayError::Trained)?;
    Ok((record::outputs(&step.batch.targets, &gradients, &direction, values), times))
}
