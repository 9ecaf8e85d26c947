//! The direction of one step, of either kind. An exact step has the gradients of all objectives: one lane for
//! every objective and sample. The steps between, and those of weightings that need no inner products, have
//! the gradient of one weighted sum: one lane for every sample, with the cotangent `sum_i w_i v_i`, which is
//! the same as everything is linear in it. `weighting.every` says how often which is made.

use std::sync::{Mutex, PoisonError};

use fairhuman_engine::{Backend, Params};
use fairhuman_fairness::{RunningGram, State};

use crate::aggregate::{
    Direction, Position, SecondPass, Weighting, fair_direction, memory_after, summed_direction,
    weights_before,
};
use crate::batch::Batch;
use crate::gradient::{Gradients, Share, combined_gradient, objective_gradients, objective_losses};
use crate::group::ShardedGroup;
use crate::module::{PassContext, TrainingModule, Wants};
use crate::objective::Objective;
use crate::recipe::GradientUse;
use crate::step_error::StepError;

/// The parts of a recipe that decide a step's direction.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The objectives.
    pub objectives: &'a [Objective],
    /// Their weighting.
    pub weighting: &'a Weighting,
    /// The gradients kept within an exact step.
    pub gradients: GradientUse,
}

/// Losses, gradients and direction of this process's micro-batches of one step, of which the first has sample
/// number `first`. No parameter is changed.
///
/// # Errors
/// Inputs, losses or gradients that are not finite, with objective and samples; memory that cannot be had; a
/// group that cannot be reached.
pub fn step_direction<B: Backend, M: TrainingModule<B>>(
    context: &PassContext<'_, B>,
    processes: &ShardedGroup<'_, B>,
    network: (&M, &Params<B>),
    plan: Plan<'_>,
    batches: (&[Batch<M::Inputs>], usize),
    position: Position<'_>,
) -> Result<(Gradients<B>, Direction<B>), StepError> {
    let (k, weighting) = (plan.objectives.len(), plan.weighting);
    let share = Share::count(processes, k, batches)?;
    let average =
        RunningGram::read(position.state, k).map_err(|e| StepError::Gradient { problem: e.to_string() })?;
    if weighting.is_exact(position.step, &share.absent(), &average) {
        exact(context, processes, network, plan, &share, position)
    } else {
        summed(context, processes, network, plan, &share, position)
    }
}

/// The weighting's memory after it has seen the losses of the same samples again, with the new values of
/// the parameters; for rules that ask for it. `gradients` are those of the step, and `state` of the position
/// is the memory that the step left.
///
/// # Errors
/// As [`step_direction`].
pub fn look_back<B: Backend, M: TrainingModule<B>>(
    context: &PassContext<'_, B>,
    processes: &ShardedGroup<'_, B>,
    (module, params): (&M, &Params<B>),
    plan: Plan<'_>,
    batches: (&[Batch<M::Inputs>], usize),
    (gradients, position): (&Gradients<B>, Position<'_>),
) -> Result<State, StepError> {
    let Plan { objectives, weighting, .. } = plan;
    let share = Share::count(processes, objectives.len(), batches)?;
    let after = objective_losses(context, processes, module, params, objectives, &share)?;
    let absent: Vec<bool> = gradients.present.iter().map(|&lanes| lanes == 0).collect();
    memory_after(objectives, weighting, &absent, (&gradients.losses, &after), position)
}

fn exact<B: Backend, M: TrainingModule<B>>(
    context: &PassContext<'_, B>,
    processes: &ShardedGroup<'_, B>,
    (module, params): (&M, &Params<B>),
    plan: Plan<'_>,
    share: &Share<'_, M::Inputs>,
    position: Position<'_>,
) -> Result<(Gradients<B>, Direction<B>), StepError> {
    let Plan { objectives, weighting, gradients: kept } = plan;
    let twice = kept == GradientUse::Twice;
    let wants = if twice { Wants::Products } else { Wants::Gradients };
    let mut gradients = objective_gradients(context, processes, module, params, objectives, share, wants)?;
    let again = std::cell::Cell::new(0.0);
    let second_pass = |coefficients: &[f64]| {
        let combined = combined_gradient(context, module, params, objectives, share, coefficients)?;
        again.set(combined.seconds);
        Ok(combined.gradient)
    };
    let second_pass = twice.then_some(&second_pass as SecondPass<'_, B>);
    let direction =
        fair_direction(context, processes, (objectives, weighting), &gradients, position, second_pass)?;
    gradients.backward += again.get();
    Ok((gradients, direction))
}

fn summed<B: Backend, M: TrainingModule<B>>(
    context: &PassContext<'_, B>,
    processes: &ShardedGroup<'_, B>,
    (module, params): (&M, &Params<B>),
    plan: Plan<'_>,
    share: &Share<'_, M::Inputs>,
    position: Position<'_>,
) -> Result<(Gradients<B>, Direction<B>), StepError> {
    let Plan { objectives, weighting, .. } = plan;
    let absent = share.absent();
    let weigh = |losses: &[f64]| weights_before(objectives, weighting, &absent, losses, position);
    let reads_losses = weighting.rule.needs().is_some_and(|needs| needs.losses);
    let known = if !reads_losses {
        Some(weigh(&vec![0.0; objectives.len()])?)
    } else if share.batches.len() > 1 || processes.group().size() > 1 {
        // The step's losses are known only when every micro-batch has been seen.
        Some(weigh(&objective_losses(context, processes, module, params, objectives, share)?)?)
    } else {
        // Those of a single micro-batch are, between its forward and its backward pass.
        None
    };
    let solved = Mutex::new(known);
    let coefficients = |losses: &[Vec<f64>]| {
        let mut solved = solved.lock().unwrap_or_else(PoisonError::into_inner);
        let (solution, _) = match &mut *solved {
            Some(solved) => solved,
            none => {
                let losses: Vec<f64> = losses.iter().map(|samples| samples.iter().sum()).collect();
                none.insert(weigh(&losses)?)
            }
        };
        Ok(solution.combination())
    };
    let wants = Wants::Sum(&coefficients);
    let gradients = objective_gradients(context, processes, module, params, objectives, share, wants)?;
    let solved = solved.into_inner().unwrap_or_else(PoisonError::into_inner);
    let solved =
        solved.ok_or_else(|| StepError::Shape { problem: "a step needs at least one batch".into() })?;
    let direction = summed_direction(context, processes, weighting, &gradients, solved)?;
    Ok((gradients, direction))
}
