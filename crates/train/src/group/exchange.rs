//! The sums of one step's gradients over all processes. They are begun bucket by bucket while the last
//! backward pass of the step goes on, as soon as a bucket's gradients are whole.
//!
//! Every process begins all buckets of every step in the same order, one that refuses its part of the step
//! included (with zeros): so no two processes ever wait for different things.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use fairhuman_engine::{Backend, Lanes, ParamGrads, ParamId, Params};

use super::shards::Shards;
use super::{Group, Owned};
use crate::step_error::StepError;

/// The sums of a step over its micro-batches.
pub(crate) struct StepSums<B: Backend> {
    /// Losses, one per objective; 0 where absent.
    pub losses: Vec<f64>,
    /// Samples with pixels, per objective: its lanes.
    pub present: Vec<usize>,
    /// Gradients `[K, ...]` of every parameter; of those that this process owns, once they are summed over
    /// all processes.
    pub grads: ParamGrads<B>,
}

impl<B: Backend> StepSums<B> {
    /// Adds a further micro-batch.
    pub fn add(&mut self, backend: &B, other: Self) {
        self.losses.iter_mut().zip(&other.losses).for_each(|(sum, value)| *sum += value);
        self.present.iter_mut().zip(&other.present).for_each(|(sum, value)| *sum += value);
        self.grads.add_all(backend, other.grads);
    }

    /// Losses, lanes, and whether anything reached each parameter.
    fn numbers(&self) -> Vec<f64> {
        let lanes = self.present.iter().map(|&lanes| lanes as f64);
        let reached = self.grads.contributions().iter().map(|&count| f64::from(count));
        self.losses.iter().copied().chain(lanes).chain(reached).collect()
    }
}

/// A group, the owners of its parameters, and the contributions to each parameter in one backward pass.
type Among<'a, B> = (&'a dyn Group<B>, &'a Shards, &'a OnceLock<Vec<u32>>);

/// The sums of one step's gradients.
pub(crate) struct Exchange<'a, B: Backend> {
    backend: &'a B,
    params: &'a Params<B>,
    /// Gradients of each parameter: those of all objectives, or that of one sum.
    lanes: usize,
    /// None for a single process.
    among: Option<Among<'a, B>>,
    state: Mutex<State<B>>,
}

struct State<B: Backend> {
    /// Buckets that were begun.
    begun: usize,
    /// The sums of the micro-batches before the last.
    earlier: Option<ParamGrads<B>>,
    /// Why a bucket could not be begun.
    failure: Option<String>,
}

impl<'a, B: Backend> Exchange<'a, B> {
    pub fn new(backend: &'a B, params: &'a Params<B>, lanes: usize, among: Option<Among<'a, B>>) -> Self {
        let state = Mutex::new(State { begun: 0, earlier: None, failure: None });
        Self { backend, params, lanes, among, state }
    }

    /// True if the gradients of the last micro-batch are to be shown to [`Exchange::look`].
    pub fn looks(&self) -> bool {
        self.among.is_some_and(|(_, _, expected)| expected.get().is_some())
    }

    /// Takes the sums of all micro-batches but the last, in a group.
    pub fn keep(&self, earlier: &mut ParamGrads<B>) {
        if self.among.is_some() {
            self.state().earlier = Some(earlier.take_all());
        }
    }

    /// Begins the next buckets whose gradients are whole, in the backward pass of the last micro-batch.
    pub fn look(&self, grads: &ParamGrads<B>) {
        let Some((group, shards, expected)) = self.among else { return };
        let Some(expected) = expected.get() else { return };
        let mut state = self.state();
        let whole = |id: &ParamId| grads.contributions()[id.0] >= expected[id.0];
        while let Some(bucket) = shards.buckets().get(state.begun)
            && bucket.iter().all(whole)
        {
            self.begin(group, shards, bucket, &mut state, Some(grads));
        }
    }

    /// Learns from the first backward pass of a run when gradients are whole, and holds the others to it.
    ///
    /// # Errors
    /// A parameter whose gradients went out before they were whole.
    pub fn learn(&self, grads: &ParamGrads<B>) -> Result<(), StepError> {
        let Some((_, _, expected)) = self.among else { return Ok(()) };
        let found = grads.contributions();
        if found.iter().all(|&count| count == 0) {
            return Ok(());
        }
        let expected = expected.get_or_init(|| found.to_vec());
        let more = self.params.iter().zip(expected.iter().zip(found)).find(|(_, (before, now))| now > before);
        more.map_or(Ok(()), |(param, (before, now))| {
            let name = &param.name;
            let problem =
                format!("{name} has {now} parts of a gradient in this step, and had {before} in the first");
            Err(StepError::Shape { problem })
        })
    }

    /// The part of a process of a group that no sample fell to.
    pub fn nothing(&self, objectives: usize) -> Option<StepSums<B>> {
        let lanes = Lanes::new(0, &vec![Vec::new(); self.lanes]);
        let grads = ParamGrads::new(self.params, &lanes);
        self.among.map(|_| StepSums { losses: vec![0.0; objectives], present: vec![0; objectives], grads })
    }

    /// The sums over all processes: losses and lanes, and the gradients of the parameters that this process
    /// owns. A process that refuses its part of the step tells the others, so that all refuse it.
    ///
    /// # Errors
    /// The step is refused here or elsewhere; a process that cannot be reached.
    pub fn finish(
        self,
        own: Result<StepSums<B>, StepError>,
        objectives: usize,
    ) -> Result<StepSums<B>, StepError> {
        let Some((group, shards, _)) = self.among else { return own };
        let failed = |problem| StepError::Group { problem };
        let mut state = self.state();
        while let Some(bucket) = shards.buckets().get(state.begun) {
            self.begin(group, shards, bucket, &mut state, own.as_ref().ok().map(|sums| &sums.grads));
        }
        if let Some(problem) = state.failure.take() {
            return Err(failed(problem));
        }
        let received = group.finish_sums(self.backend).map_err(failed)?;

        let mut numbers = match &own {
            Ok(sums) => sums.numbers(),
            Err(_) => vec![0.0; 2 * objectives + self.params.len()],
        };
        numbers.push(f64::from(u8::from(own.is_err())));
        group.sum_numbers(&mut numbers).map_err(failed)?;
        let refused = numbers.pop().unwrap_or_default();
        let mut sums = own?;
        if refused > 0.0 {
            return Err(StepError::Elsewhere);
        }
        let (losses, rest) = numbers.split_at(objectives);
        let (present, reached) = rest.split_at(objectives);
        sums.losses = losses.to_vec();
        sums.present = present.iter().map(|&lanes| lanes as usize).collect();
        drop(sums.grads.take_all());
        let own = shards.buckets().iter().flatten().filter(|&&id| shards.owner(id) == group.rank());
        for (&id, sum) in own.zip(received).filter(|(id, _)| reached[id.0] > 0.0) {
            sums.grads.set(id, Some(sum));
        }
        Ok(sums)
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        &self,
        group: &dyn Group<B>,
        shards: &Shards,
        bucket: &[ParamId],
        state: &mut State<B>,
        grads: Option<&ParamGrads<B>>,
    ) {
        let mut tensor = |id: ParamId| {
            let earlier = state.earlier.as_mut().and_then(|earlier| earlier.take(id));
            match (earlier, grads.and_then(|grads| grads.get(id))) {
                (Some(sum), Some(grad)) => self.backend.accumulate(sum, grad),
                (Some(sum), None) => sum,
                (None, Some(grad)) => grad.clone(),
                (None, None) => {
                    let shape = B::shape(self.params.get(id));
                    self.backend.zeros(&[&[self.lanes], shape].concat())
                }
            }
        };
        let tensors: Vec<Owned<B>> = bucket.iter().map(|&id| (shards.owner(id), tensor(id))).collect();
        if let Err(problem) = group.begin_sums(self.backend, tensors) {
            state.failure.get_or_insert(problem);
        }
        state.begun += 1;
    }
}
