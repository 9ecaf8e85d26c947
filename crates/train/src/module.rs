//! The seam between the training step and the networks: one forward and one backward pass of all objectives.

use fairhuman_engine::observe::Observer;
use fairhuman_engine::{Backend, Lanes, ParamGrads, Params, Tape, Watcher};

use crate::batch::{Batch, Inputs};
use crate::objective::Objective;
use crate::step_error::StepError;

/// A network whose objectives' losses can be computed and differentiated: a denoiser ([`crate::denoising`])
/// or an autoencoder ([`crate::autoencoder`]).
pub trait TrainingModule<B: Backend>: Sync {
    /// The network's own inputs.
    type Inputs: Inputs;

    /// One forward pass, and where an objective has lanes one backward pass with all of them.
    ///
    /// # Errors
    /// Inputs that do not fit the network, losses that are not finite (samples by their positions in the
    /// batch).
    fn pass(
        &self,
        context: &PassContext<'_, B>,
        params: &Params<B>,
        of: &LossInputs<'_, Self::Inputs>,
    ) -> Result<Pass<B>, StepError>;

    /// The losses alone, as for held-out pictures: `[K][N]`, divided by `of.divisors`.
    ///
    /// # Errors
    /// Inputs that do not fit the network, in words.
    fn losses(
        &self,
        backend: &B,
        params: &Params<B>,
        of: &LossInputs<'_, Self::Inputs>,
    ) -> Result<Vec<Vec<f64>>, String>;
}

/// The gradients that a pass computes.
#[derive(Clone, Copy)]
pub enum Wants<'a> {
    /// Those of every objective, kept.
    Gradients,
    /// Their products only: each parameter's are released as they come.
    Products,
    /// That of the objectives' sum with coefficients that may depend on the batch's losses.
    Sum(Coefficients<'a>),
}

/// The coefficients of a sum of objectives, from each sample's share of each objective's loss, `[K][N]`.
pub type Coefficients<'a> = &'a (dyn Fn(&[Vec<f64>]) -> Result<Vec<f64>, StepError> + Sync);

/// The inputs of the losses of one batch.
pub struct LossInputs<'a, I> {
    /// The objectives.
    pub objectives: &'a [Objective],
    /// The samples.
    pub batch: &'a Batch<I>,
    /// Divisor of each objective's sum.
    pub divisors: &'a [f64],
    /// The samples in which each objective has pixels.
    pub present: &'a [Vec<usize>],
    /// The gradients to compute.
    pub wants: Wants<'a>,
}

impl<I> LossInputs<'_, I> {
    /// The lanes of the backward pass.
    pub fn lanes(&self) -> Lanes {
        Lanes::new(self.batch.targets.size, self.present)
    }
}

impl<I> Clone for LossInputs<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<I> Copy for LossInputs<'_, I> {}

/// The results of a pass.
pub struct Pass<B: Backend> {
    /// Each sample's share of each objective's loss, `[K][N]`.
    pub losses: Vec<Vec<f64>>,
    /// The network's output, `[N, h, w, C]`.
    pub prediction: Vec<f32>,
    /// Gradients of every parameter: `[K, ...]`, or `[1, ...]` of the sum; their products only where nothing
    /// else is wanted.
    pub grads: ParamGrads<B>,
    /// Seconds of the forward pass.
    pub forward: f64,
    /// Seconds of the backward pass.
    pub backward: f64,
}

/// The environment of a pass: everything but its inputs.
pub struct PassContext<'a, B: Backend> {
    /// The backend.
    pub backend: &'a B,
    /// Recompute activations in the backward pass.
    pub checkpointing: bool,
    /// Seconds since some moment. Libraries read no clock: the caller's is used.
    pub clock: &'a (dyn Fn() -> f64 + Sync),
    /// Observes every operation, for profiles.
    pub observer: Option<&'a dyn Observer>,
    /// Is shown the gradients while a backward pass goes on.
    pub watcher: Option<Watcher<'a, B>>,
}

impl<B: Backend> PassContext<'_, B> {
    /// An empty tape over `params`.
    pub fn tape<'m>(&'m self, params: &'m Params<B>) -> Tape<'m, B> {
        Tape::new(self.backend, params, self.checkpointing).observed(self.observer).watched(self.watcher)
    }
}
