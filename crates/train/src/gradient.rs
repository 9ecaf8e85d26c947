//! One step's gradients: a forward pass, one backward pass that carries all objectives, the Gram matrix, the
//! fair weights and the combined gradient. Nothing here changes a parameter.

use fairhuman_engine::observe::Observer;
use fairhuman_engine::{Backend, Lanes, ParamGrads, Params, Tape, Var};
use fairhuman_fairness::{Gram, Solution, Weighting, cosines, weigh};

use crate::batch::Batch;
use crate::objective::{self, Objective};

/// A network that predicts what the noise schedule asks for.
pub trait Denoiser<B: Backend>: Sync {
    /// The prediction `[N, h, w, C]` for `batch`.
    ///
    /// # Errors
    /// Inputs that do not fit the network, in words.
    fn predict<'m>(&'m self, tape: &mut Tape<'m, B>, batch: &Batch) -> Result<Var<B>, String>;
}

/// What objectives' losses are taken of: a denoiser ([`Denoising`]), or an autoencoder.
pub trait Learner<B: Backend>: Sync {
    /// One forward pass, and where an objective has lanes one backward pass with all of them.
    ///
    /// # Errors
    /// Inputs that do not fit the network, losses that are not finite (samples by their positions in `task.batch`).
    fn pass(&self, run: &Run<'_, B>, params: &Params<B>, task: &Task<'_>) -> Result<Pass<B>, Refused>;

    /// The losses alone, as for held-out pictures: `[K][N]`, divided by `task.divisors`.
    ///
    /// # Errors
    /// Inputs that do not fit the network, in words.
    fn losses(&self, backend: &B, params: &Params<B>, task: &Task<'_>) -> Result<Vec<Vec<f64>>, String>;
}

/// What a pass is about.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The objectives.
    pub objectives: &'a [Objective],
    /// The samples.
    pub batch: &'a Batch,
    /// What each objective's sum is divided by.
    pub divisors: &'a [f64],
    /// The samples in which each objective has pixels.
    pub present: &'a [Vec<usize>],
}

impl Task<'_> {
    /// The lanes of the backward pass.
    pub fn lanes(&self) -> Lanes {
        Lanes::new(self.batch.size, self.present)
    }
}

/// What a pass gives.
pub struct Pass<B: Backend> {
    /// What each sample adds to each objective's loss, `[K][N]`.
    pub losses: Vec<Vec<f64>>,
    /// What the network says, `[N, h, w, C]`.
    pub prediction: Vec<f32>,
    /// Gradients `[K, ...]` of every parameter.
    pub grads: ParamGrads<B>,
    /// Seconds of the forward pass.
    pub forward: f64,
    /// Seconds of the backward pass.
    pub backward: f64,
}

/// A denoiser whose prediction is compared with the target.
pub struct Denoising<'a, D>(pub &'a D);

impl<B: Backend, D: Denoiser<B>> Learner<B> for Denoising<'_, D> {
    fn pass(&self, run: &Run<'_, B>, params: &Params<B>, task: &Task<'_>) -> Result<Pass<B>, Refused> {
        let Task { objectives, batch, divisors, present } = *task;
        let lanes = task.lanes();
        let start = (run.clock)();
        let mut tape = Tape::new(run.backend, params, run.checkpointing).observed(run.observer);
        let output = self.0.predict(&mut tape, batch).map_err(|problem| Refused::Shape { problem })?;
        let prediction = run.backend.read(output.value());
        let forward = (run.clock)();
        let losses = objective::losses(objectives, batch, divisors, &prediction);
        refuse_non_finite(objectives, &losses)?;
        let mut grads = ParamGrads::new(params, &lanes);
        if !lanes.is_empty() {
            let cotangent = objective::cotangents(objectives, batch, divisors, present, &prediction);
            let shape = [lanes.len(), batch.height, batch.width, batch.channels];
            let cotangent = run.backend.tensor(&shape, &cotangent);
            tape.backward(&output, cotangent, &lanes, &[], &mut grads);
        }
        run.backend.synchronize();
        let backward = (run.clock)();
        Ok(Pass { losses, prediction, grads, forward: forward - start, backward: backward - forward })
    }

    fn losses(&self, backend: &B, params: &Params<B>, task: &Task<'_>) -> Result<Vec<Vec<f64>>, String> {
        let prediction = backend.scope(|| {
            let output = self.0.predict(&mut Tape::inference(backend, params), task.batch)?;
            Ok::<_, String>(backend.read(output.value()))
        })?;
        Ok(objective::losses(task.objectives, task.batch, task.divisors, &prediction))
    }
}

/// How passes are run, apart from what they compute.
pub struct Run<'a, B: Backend> {
    /// The backend.
    pub backend: &'a B,
    /// Recompute activations in the backward pass.
    pub checkpointing: bool,
    /// Seconds since some moment. Libraries read no clock: the caller's is used.
    pub clock: &'a (dyn Fn() -> f64 + Sync),
    /// Told about every operation, for profiles.
    pub observer: Option<&'a dyn Observer>,
}

/// Every objective's gradient over one step.
pub struct Gradients<B: Backend> {
    /// Losses, one per objective; 0 where absent.
    pub losses: Vec<f64>,
    /// Samples with pixels, per objective: its lanes.
    pub present: Vec<usize>,
    /// Share of the step's latent cells inside the objective's masks.
    pub area: Vec<f64>,
    /// The predictions of all micro-batches, `[N, h, w, C]`.
    pub prediction: Vec<f32>,
    /// Gradients `[K, ...]` of every parameter.
    pub grads: ParamGrads<B>,
    /// Seconds of the forward passes.
    pub forward: f64,
    /// Seconds of the backward passes.
    pub backward: f64,
}

/// What the parameters are to be given.
pub struct Direction<B: Backend> {
    /// Products of the objectives' gradients, row-major `K x K`.
    pub gram: Vec<f64>,
    /// Their cosines, 0 for absent objectives.
    pub cosines: Vec<f64>,
    /// Weights, rates and how they were found.
    pub solution: Solution,
    /// `K sum_i w_i g_i` of every parameter, not clipped; none where nothing reaches the parameter.
    pub combined: Vec<Option<B::Tensor>>,
    /// Its norm over all parameters.
    pub norm: f64,
    /// Seconds from the gradients to the combined gradient.
    pub seconds: f64,
}

/// Why a step must not be taken. The parameters are as they were.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Something that goes into the network is NaN or infinite.
    #[error("the {what} of {} is not finite", among(samples))]
    Input {
        /// Which input.
        what: &'static str,
        /// Positions in the step.
        samples: Vec<usize>,
    },
    /// A loss is NaN or infinite.
    #[error("the loss \"{objective}\" is not finite in {}", among(samples))]
    Loss {
        /// The objective.
        objective: String,
        /// Positions in the step.
        samples: Vec<usize>,
    },
    /// A gradient is NaN or infinite, or its products contradict each other.
    #[error("{problem}")]
    Gradient {
        /// The objective and what was found.
        problem: String,
    },
    /// The network cannot take the inputs.
    #[error("{problem}")]
    Shape {
        /// What does not fit.
        problem: String,
    },
}

fn among(samples: &[usize]) -> String {
    let list: Vec<String> = samples.iter().map(|n| format!("sample {n}")).collect();
    list.join(", ")
}

impl Refused {
    /// The same for samples of a micro-batch whose first one is number `first` of the step.
    fn shifted(mut self, first: usize) -> Self {
        if let Refused::Input { samples, .. } | Refused::Loss { samples, .. } = &mut self {
            samples.iter_mut().for_each(|n| *n += first);
        }
        self
    }

    /// The same with the names of the step's samples in place of their positions.
    pub fn named(&self, names: &[String]) -> String {
        let list = |samples: &[usize]| -> String {
            let name = |&n: &usize| names.get(n).map_or_else(|| format!("sample {n}"), Clone::clone);
            samples.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        match self {
            Refused::Input { what, samples } => format!("the {what} of {} is not finite", list(samples)),
            Refused::Loss { objective, samples } => {
                format!("the loss \"{objective}\" is not finite in {}", list(samples))
            }
            Refused::Gradient { problem } => format!("{problem} (samples: {})", names.join(", ")),
            Refused::Shape { problem } => problem.clone(),
        }
    }
}

/// Forward and backward passes over the micro-batches of one step, gradients summed objective by objective.
///
/// # Errors
/// Inputs or losses that are not finite, with objective and samples.
pub fn objective_gradients<B: Backend>(
    run: &Run<'_, B>,
    learner: &impl Learner<B>,
    params: &Params<B>,
    objectives: &[Objective],
    batches: &[Batch],
) -> Result<Gradients<B>, Refused> {
    run.backend.scope(|| passes(run, learner, params, objectives, batches))
}

fn passes<B: Backend>(
    run: &Run<'_, B>,
    learner: &impl Learner<B>,
    params: &Params<B>,
    objectives: &[Objective],
    batches: &[Batch],
) -> Result<Gradients<B>, Refused> {
    let divisors = objective::divisors(objectives, batches);
    let count = objectives.len();
    let mut total: Option<Gradients<B>> = None;
    let mut first = 0;
    for batch in batches {
        if let Some((what, samples)) = batch.non_finite() {
            return Err(Refused::Input { what, samples }.shifted(first));
        }
        let present = objective::present(batch, count);
        let task = Task { objectives, batch, divisors: &divisors, present: &present };
        let pass = learner.pass(run, params, &task).map_err(|refused| refused.shifted(first))?;

        let sums: Vec<f64> = pass.losses.iter().map(|samples| samples.iter().sum()).collect();
        let sum = total.get_or_insert_with(|| Gradients {
            losses: vec![0.0; count],
            present: vec![0; count],
            area: objective::area(objectives, batches),
            prediction: Vec::new(),
            grads: ParamGrads::new(params, &task.lanes()),
            forward: 0.0,
            backward: 0.0,
        });
        add(&mut sum.losses, &sums);
        sum.present.iter_mut().zip(&present).for_each(|(n, samples)| *n += samples.len());
        sum.prediction.extend(pass.prediction);
        sum.grads.add_all(run.backend, pass.grads);
        sum.forward += pass.forward;
        sum.backward += pass.backward;
        first += batch.size;
    }
    total.ok_or_else(|| Refused::Shape { problem: "a step needs at least one batch".into() })
}

/// From the objectives' gradients to the gradient that the parameters are given.
///
/// # Errors
/// A gradient that is not finite, with its objective.
pub fn fair_direction<B: Backend>(
    run: &Run<'_, B>,
    objectives: &[Objective],
    weighting: &Weighting,
    gradients: &Gradients<B>,
) -> Result<Direction<B>, Refused> {
    let refuse = |e: &dyn std::error::Error| Refused::Gradient { problem: e.to_string() };
    let start = (run.clock)();
    let absent: Vec<bool> = gradients.present.iter().map(|&lanes| lanes == 0).collect();
    let names = objectives.iter().map(|o| o.name.as_str());
    let products = run.backend.scope(|| gradients.grads.gram(run.backend));
    let gram =
        Gram::new(names, products).and_then(|gram| gram.with_absent(&absent)).map_err(|e| refuse(&e))?;
    let solution = weigh(&gram, weighting).map_err(|e| refuse(&e))?;
    let (combined, norm) = run.backend.scope(|| {
        let combined = gradients.grads.combine(run.backend, &solution.combination());
        let norm = run.backend.norm(&combined.iter().flatten().collect::<Vec<_>>());
        (combined, norm)
    });
    if !norm.is_finite() {
        return Err(Refused::Gradient { problem: format!("the combined gradient's norm is {norm}") });
    }
    let seconds = (run.clock)() - start;
    Ok(Direction { gram: gram.values().to_vec(), cosines: cosines(&gram), solution, combined, norm, seconds })
}

/// The factor that shortens a gradient of norm `norm` to `max`: PyTorch's `clip_grad_norm_`, its 1e-6 included.
pub fn clip_factor(norm: f64, max: f64) -> f64 {
    (max / (norm + 1e-6)).min(1.0)
}

fn add(sum: &mut [f64], values: &[f64]) {
    sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
}

/// # Errors
/// The first objective with a loss that is not finite, and the samples where it is not.
pub(crate) fn refuse_non_finite(objectives: &[Objective], losses: &[Vec<f64>]) -> Result<(), Refused> {
    for (objective, list) in objectives.iter().zip(losses) {
        let samples: Vec<usize> = (0..list.len()).filter(|&n| !list[n].is_finite()).collect();
        if !samples.is_empty() {
            return Err(Refused::Loss { objective: objective.name.clone(), samples });
        }
    }
    Ok(())
}
