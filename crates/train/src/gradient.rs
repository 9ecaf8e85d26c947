//! One step's gradients: forward and backward passes over its micro-batches, all objectives at once, summed
//! over micro-batches and processes. Nothing here changes a parameter.

use fairhuman_engine::{Backend, ParamGrads, Params, Watcher};

use crate::batch::Batch;
use crate::group::ShardedGroup;
use crate::group::exchange::{Exchange, StepSums};
use crate::module::{LossInputs, PassContext, TrainingModule, Wants};
use crate::objective::{self, Counts, Objective};
use crate::step_error::{StepError, refuse_non_finite};

/// The part of a step that falls to a process.
pub struct Share<'a, I> {
    /// Its micro-batches; none where no sample fell to it.
    pub batches: &'a [Batch<I>],
    /// Number of its first sample in the step.
    pub first: usize,
    /// The counts of the whole step, which losses are divided by.
    pub counts: Counts,
}

impl<'a, I> Share<'a, I> {
    /// A share, and the counts of all processes'.
    ///
    /// # Errors
    /// A process that cannot be reached.
    pub fn count<B: Backend>(
        processes: &ShardedGroup<'_, B>,
        objectives: usize,
        (batches, first): (&'a [Batch<I>], usize),
    ) -> Result<Self, StepError> {
        let own = Counts::of(objectives, batches.iter().map(|batch| &batch.targets));
        let mut inside = processes.sum([own.inside, vec![own.elements]].concat())?;
        let elements = inside.pop().unwrap_or_default();
        Ok(Self { batches, first, counts: Counts { inside, elements } })
    }

    /// True for each objective without a pixel in the whole step.
    pub fn absent(&self) -> Vec<bool> {
        self.counts.inside.iter().map(|&inside| inside == 0.0).collect()
    }
}

/// Every objective's gradient over one step.
pub struct Gradients<B: Backend> {
    /// Losses, one per objective; 0 where absent.
    pub losses: Vec<f64>,
    /// Samples with pixels, per objective: its lanes.
    pub present: Vec<usize>,
    /// Share of the step's latent cells inside the objective's masks.
    pub area: Vec<f64>,
    /// The predictions of all micro-batches of this process, `[N, h, w, C]`.
    pub prediction: Vec<f32>,
    /// Gradients `[K, ...]` of every parameter that this process owns, summed over all processes.
    pub grads: ParamGrads<B>,
    /// Seconds of the forward passes.
    pub forward: f64,
    /// Seconds of the backward passes.
    pub backward: f64,
}

/// Forward and backward passes over this process's micro-batches of one step; gradients are summed objective
/// by objective over all micro-batches of all processes.
///
/// # Errors
/// Inputs or losses that are not finite, with objective and samples; memory that cannot be had; a group that
/// cannot be reached.
pub fn objective_gradients<B: Backend, M: TrainingModule<B>>(
    context: &PassContext<'_, B>,
    processes: &ShardedGroup<'_, B>,
    module: &M,
    params: &Params<B>,
    objectives: &[Objective],
    share: &Share<'_, M::Inputs>,
    wants: Wants<'_>,
) -> Result<Gradients<B>, StepError> {
    let Share { batches, first, counts } = share;
    let divisors = counts.divisors(objectives);
    let (k, lanes) = (objectives.len(), if matches!(wants, Wants::Sum(_)) { 1 } else { objectives.len() });
    context.backend.scope(|| {
        let mut about = Observed::default();
        let exchange = processes.exchange(context.backend, params, lanes);
        // Caught here and not further out, so that the other processes are told.
        let own = context.backend.attempt(|| {
            let batches = (*batches, *first);
            passes(context, module, params, objectives, &divisors, batches, wants, (&exchange, &mut about))
        });
        let own = own.unwrap_or_else(|error| Err(error.into()));
        let StepSums { losses, present, grads } = exchange.finish(own, k)?;
        let Observed { prediction, forward, backward } = about;
        Ok(Gradients { losses, present, area: counts.area(), prediction, grads, forward, backward })
    })
}

/// The gradient of a sum of objectives.
pub struct Combined<B: Backend> {
    /// Of every parameter; none where it does not reach.
    pub gradient: Vec<Option<B::Tensor>>,
    /// Seconds of the passes.
    pub seconds: f64,
}

/// The gradient of the objectives' sum with `coefficients` over the same batches, by a pass of its own: what
/// the combination of kept gradients would be, in the memory of one objective.
///
/// # Errors
/// As [`objective_gradients`].
pub fn combined_gradient<B: Backend, M: TrainingModule<B>>(
    context: &PassContext<'_, B>,
    module: &M,
    params: &Params<B>,
    objectives: &[Objective],
    share: &Share<'_, M::Inputs>,
    coefficients: &[f64],
) -> Result<Combined<B>, StepError> {
    let known = |_: &[Vec<f64>]| Ok(coefficients.to_vec());
    let wants = Wants::Sum(&known);
    let found =
        objective_gradients(context, &ShardedGroup::single(), module, params, objectives, share, wants)?;
    let gradient = context.backend.scope(|| found.grads.combine(context.backend, &[1.0]));
    Ok(Combined { gradient, seconds: found.forward + found.backward })
}

/// The losses of one step over all of its micro-batches and processes, by forward passes alone; 0 where
/// absent.
///
/// # Errors
/// As [`objective_gradients`].
pub fn objective_losses<B: Backend, M: TrainingModule<B>>(
    context: &PassContext<'_, B>,
    processes: &ShardedGroup<'_, B>,
    module: &M,
    params: &Params<B>,
    objectives: &[Objective],
    share: &Share<'_, M::Inputs>,
) -> Result<Vec<f64>, StepError> {
    let k = objectives.len();
    let (mut first, divisors) = (share.first, share.counts.divisors(objectives));
    let mut total = vec![0.0; k];
    let mut add = || {
        for batch in share.batches {
            if let Some((what, samples)) = batch.non_finite() {
                return Err(StepError::Input { what, samples }.shifted(first));
            }
            let present = objective::present(&batch.targets, k);
            let wants = Wants::Gradients;
            let of = LossInputs { objectives, batch, divisors: &divisors, present: &present, wants };
            let losses = module.losses(context.backend, params, &of);
            let losses = losses.map_err(|problem| StepError::Shape { problem })?;
            refuse_non_finite(objectives, &losses).map_err(|refused| refused.shifted(first))?;
            total.iter_mut().zip(&losses).for_each(|(sum, samples)| *sum += samples.iter().sum::<f64>());
            first += batch.targets.size;
        }
        Ok(())
    };
    let own = context.backend.attempt(|| context.backend.scope(&mut add));
    processes.sum_losses(own.unwrap_or_else(|error| Err(error.into())).map(|()| total), k)
}

/// Results of the passes that are not summed over processes.
#[derive(Default)]
struct Observed {
    prediction: Vec<f32>,
    forward: f64,
    backward: f64,
}

fn passes<B: Backend, M: TrainingModule<B>>(
    context: &PassContext<'_, B>,
    module: &M,
    params: &Params<B>,
    objectives: &[Objective],
    divisors: &[f64],
    (batches, mut first): (&[Batch<M::Inputs>], usize),
    wants: Wants<'_>,
    (exchange, about): (&Exchange<'_, B>, &mut Observed),
) -> Result<StepSums<B>, StepError> {
    let mut total: Option<StepSums<B>> = None;
    let look = |grads: &ParamGrads<B>| exchange.look(grads);
    for (i, batch) in batches.iter().enumerate() {
        let last = i + 1 == batches.len();
        if let Some((what, samples)) = batch.non_finite() {
            return Err(StepError::Input { what, samples }.shifted(first));
        }
        let present = objective::present(&batch.targets, objectives.len());
        let of = LossInputs { objectives, batch, divisors, present: &present, wants };
        if let Some(total) = total.as_mut().filter(|_| last) {
            exchange.keep(&mut total.grads);
        }
        let watcher = (last && exchange.looks()).then_some(&look as Watcher<'_, B>);
        let context = PassContext { watcher, ..*context };
        let pass = module.pass(&context, params, &of).map_err(|refused| refused.shifted(first))?;
        exchange.learn(&pass.grads)?;
        if let Some(id) = pass.grads.repeated() {
            let name = params.iter().nth(id.0).map_or("", |param| &param.name);
            let problem = format!("the network uses {name} more than once: its gradients must be kept");
            return Err(StepError::Shape { problem });
        }
        let sums = StepSums {
            losses: pass.losses.iter().map(|samples| samples.iter().sum()).collect(),
            present: present.iter().map(Vec::len).collect(),
            grads: pass.grads,
        };
        match &mut total {
            Some(total) => total.add(context.backend, sums),
            None => total = Some(sums),
        }
        about.prediction.extend(pass.prediction);
        about.forward += pass.forward;
        about.backward += pass.backward;
        first += batch.targets.size;
    }
    total
        .or_else(|| exchange.nothing(objectives.len()))
        .ok_or_else(|| StepError::Shape { problem: "a step needs at least one batch".into() })
}

/// The factor that shortens a gradient of norm `norm` to `max`: PyTorch's `clip_grad_norm_`, its 1e-6
/// included.
pub fn clip_factor(norm: f64, max: f64) -> f64 {
    (max / (norm + 1e-6)).min(1.0)
}
