//! The gradient that the parameters are given, from those of all objectives or from that of their sum.

use fairhuman_engine::Backend;
use fairhuman_fairness::{Gram, Observation, RunningGram, Solution, State, cosines, look_back};

use super::rule::WITHOUT_WEIGHTS;
use super::{Aggregator, Rule, Seen, Weighting};
use crate::gradient::Gradients;
use crate::group::ShardedGroup;
use crate::module::PassContext;
use crate::objective::Objective;
use crate::step_error::StepError;

/// The gradient that the parameters are given.
pub struct Direction<B: Backend> {
    /// Products of the objectives' gradients, row-major `K x K`; empty where only the gradient of their sum
    /// was made.
    pub gram: Vec<f64>,
    /// Their cosines, 0 for absent objectives; empty as `gram`.
    pub cosines: Vec<f64>,
    /// Weights, rates and how they were found; none where the gradient is no weighted sum.
    pub solution: Option<Solution>,
    /// The step of the newest Gram matrix that the weights follow from, where it is an earlier one.
    pub weights_of: Option<u64>,
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

fn refuse(problem: impl ToString) -> StepError {
    StepError::Gradient { problem: problem.to_string() }
}

/// The direction of a step that has every objective's gradient. `second_pass`: where the gradients were not
/// kept, only their products.
///
/// # Errors
/// A gradient that is not finite, with its objective; memory that cannot be had.
pub fn fair_direction<B: Backend>(
    context: &PassContext<'_, B>,
    processes: &ShardedGroup<'_, B>,
    (objectives, weighting): (&[Objective], &Weighting),
    gradients: &Gradients<B>,
    position: Position<'_>,
    second_pass: Option<SecondPass<'_, B>>,
) -> Result<Direction<B>, StepError> {
    let start = (context.clock)();
    let absent: Vec<bool> = gradients.present.iter().map(|&lanes| lanes == 0).collect();
    let names = || objectives.iter().map(|o| o.name.as_str());
    let backend = context.backend;
    let products = processes.sum(backend.attempt(|| backend.scope(|| gradients.grads.gram(backend)))?)?;
    let gram = Gram::new(names(), products).and_then(|gram| gram.with_absent(&absent)).map_err(refuse)?;
    let Position { seed, step, state } = position;
    let mut state = state.clone();
    let (mut combined, solution) = match &weighting.rule {
        rule @ (Rule::Gram(_) | Rule::Replay(_)) => {
            let mut solved = gram.clone();
            if weighting.keeps_average() {
                let mut average = RunningGram::read(&state, objectives.len()).map_err(refuse)?;
                average.add(&gram, step, weighting.average);
                solved = average.gram(names(), gram.absent()).map_err(refuse)?;
                average.write(&mut state);
            }
            let seen = Observation { gram: &solved, losses: &gradients.losses, seed, step };
            let solution = rule.weigh(&seen, &mut state).map_err(refuse)?;
            let combination = solution.combination();
            let combine = || gradients.grads.combine(backend, &combination);
            (backend.attempt(|| backend.scope(combine))?, Some(solution))
        }
        Rule::GradDrop(rule) => {
            let seen = Seen { gram: &gram, gradients, seed, step };
            let aggregate = || rule.aggregate(context, &seen, &mut state).map_err(refuse);
            (backend.attempt(|| backend.scope(aggregate))??, None)
        }
    };
    let seconds = (context.clock)() - start;
    if let Some(second_pass) = second_pass {
        let solution = solution.as_ref().ok_or_else(|| refuse(WITHOUT_WEIGHTS))?;
        combined = second_pass(&solution.combination())?;
    }
    let norm = norm(backend, processes, &combined)?;
    let (gram, cosines) = (gram.values().to_vec(), cosines(&gram));
    Ok(Direction { gram, cosines, solution, weights_of: None, combined, norm, state, seconds })
}

/// The weights of a step of which only the weighted sum's gradient is made, by the average of the Gram
/// matrices before it, and the memory after it. `losses` are read only where the rule needs them.
///
/// # Errors
/// Numbers that the rule cannot work with; a rule without weights.
pub fn weights_before(
    objectives: &[Objective],
    weighting: &Weighting,
    absent: &[bool],
    losses: &[f64],
    position: Position<'_>,
) -> Result<(Solution, State), StepError> {
    let Position { seed, step, state } = position;
    let mut state = state.clone();
    let gram = match weighting.rule.needs().is_some_and(|needs| needs.gram) {
        true => {
            let average = RunningGram::read(&state, objectives.len()).map_err(refuse)?;
            average.gram(objectives.iter().map(|o| o.name.as_str()), absent).map_err(refuse)?
        }
        false => presence(objectives, absent)?,
    };
    let seen = Observation { gram: &gram, losses, seed, step };
    let solution = weighting.rule.weigh(&seen, &mut state).map_err(refuse)?;
    Ok((solution, state))
}

/// The weighting's memory after it has seen the losses of the same samples again, after the step; `state` of
/// the position is the one that the step left.
///
/// # Errors
/// Losses that the rule cannot work with.
pub fn memory_after(
    objectives: &[Objective],
    weighting: &Weighting,
    absent: &[bool],
    (before, after): (&[f64], &[f64]),
    position: Position<'_>,
) -> Result<State, StepError> {
    let Position { seed, step, state } = position;
    let mut state = state.clone();
    if let Rule::Gram(rule) = &weighting.rule {
        let gram = presence(objectives, absent)?;
        let seen = Observation { gram: &gram, losses: before, seed, step };
        look_back(rule, &seen, after, &mut state).map_err(refuse)?;
    }
    Ok(state)
}

/// A Gram matrix for rules that read nothing of it but which objectives are absent.
fn presence(objectives: &[Objective], absent: &[bool]) -> Result<Gram, StepError> {
    let k = objectives.len();
    let identity = (0..k * k).map(|e| if e / k == e % k { 1.0 } else { 0.0 }).collect();
    let gram = Gram::new(objectives.iter().map(|o| o.name.as_str()), identity);
    gram.and_then(|gram| gram.with_absent(absent)).map_err(refuse)
}

/// The direction of a step that has the gradient of the weighted sum alone.
///
/// # Errors
/// A gradient that is not finite; memory that cannot be had.
pub fn summed_direction<B: Backend>(
    context: &PassContext<'_, B>,
    processes: &ShardedGroup<'_, B>,
    weighting: &Weighting,
    gradients: &Gradients<B>,
    (solution, state): (Solution, State),
) -> Result<Direction<B>, StepError> {
    let start = (context.clock)();
    let backend = context.backend;
    let combined = backend.attempt(|| backend.scope(|| gradients.grads.combine(backend, &[1.0])))?;
    let norm = norm(backend, processes, &combined)?;
    let weights_of = match weighting.keeps_average() {
        true => Some(RunningGram::read(&state, solution.weights.len()).map_err(refuse)?.step()),
        false => None,
    };
    let seconds = (context.clock)() - start;
    let (gram, cosines) = (Vec::new(), Vec::new());
    Ok(Direction { gram, cosines, solution: Some(solution), weights_of, combined, norm, state, seconds })
}

/// The norm over the parameters of all processes.
fn norm<B: Backend>(
    backend: &B,
    processes: &ShardedGroup<'_, B>,
    combined: &[Option<B::Tensor>],
) -> Result<f64, StepError> {
    let own: Vec<_> = combined.iter().flatten().collect();
    let own = match own.is_empty() {
        true => 0.0,
        false => backend.attempt(|| backend.scope(|| backend.norm(&own)))?,
    };
    let norm = match processes.group().size() {
        1 => own,
        _ => processes.sum(vec![own * own])?.iter().sum::<f64>().sqrt(),
    };
    match norm.is_finite() {
        true => Ok(norm),
        false => Err(refuse(format!("the combined gradient's norm is {norm}"))),
    }
}
