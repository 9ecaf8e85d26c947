//! A group that takes steps together: its sums, and what follows from who owns which parameter.

use std::sync::OnceLock;

use fairhuman_engine::{Backend, ParamId, Params};

use super::exchange::Exchange;
use super::{Group, Owned, Single, shards::Shards};
use crate::optimizer::Moments;
use crate::step_error::StepError;

/// A group, and the owners of the parameters that it trains.
pub struct ShardedGroup<'a, B: Backend> {
    group: &'a dyn Group<B>,
    /// None for a single process, which owns all.
    shards: Option<Shards>,
    /// Contributions to each parameter's gradients in one backward pass, once one has been made.
    contributions: OnceLock<Vec<u32>>,
}

impl<B: Backend> ShardedGroup<'_, B> {
    /// A single process.
    pub fn single() -> Self {
        Self { group: &Single, shards: None, contributions: OnceLock::new() }
    }
}

impl<'a, B: Backend> ShardedGroup<'a, B> {
    /// The processes of `group`, which train `params` for so many objectives.
    pub fn new(group: &'a dyn Group<B>, params: &Params<B>, objectives: usize) -> Self {
        let shards = (group.size() > 1).then(|| Shards::new(params, objectives, group.size()));
        Self { group, shards, contributions: OnceLock::new() }
    }

    /// The group.
    pub fn group(&self) -> &'a dyn Group<B> {
        self.group
    }

    /// True if this process owns the parameter.
    pub fn owns(&self, id: ParamId) -> bool {
        self.shards.as_ref().is_none_or(|shards| shards.owner(id) == self.group.rank())
    }

    /// The sums of numbers over all processes.
    ///
    /// # Errors
    /// A process that cannot be reached.
    pub fn sum(&self, mut numbers: Vec<f64>) -> Result<Vec<f64>, StepError> {
        self.group.sum_numbers(&mut numbers).map_err(|problem| StepError::Group { problem })?;
        Ok(numbers)
    }

    /// The sums of all processes' losses. A process that refuses its part of the step tells the others, so
    /// that all refuse it.
    ///
    /// # Errors
    /// The step is refused here or elsewhere; a process that cannot be reached.
    pub fn sum_losses(
        &self,
        own: Result<Vec<f64>, StepError>,
        objectives: usize,
    ) -> Result<Vec<f64>, StepError> {
        if self.group.size() == 1 {
            return own;
        }
        let mut numbers = own.as_ref().map_or_else(|_| vec![0.0; objectives], Clone::clone);
        numbers.push(f64::from(u8::from(own.is_err())));
        let mut numbers = self.sum(numbers)?;
        let refused = numbers.pop().unwrap_or_default();
        own?;
        if refused > 0.0 { Err(StepError::Elsewhere) } else { Ok(numbers) }
    }

    /// Begins the sums of a step's gradients, `[lanes, ...]` each.
    pub(crate) fn exchange<'s>(
        &'s self,
        backend: &'s B,
        params: &'s Params<B>,
        lanes: usize,
    ) -> Exchange<'s, B> {
        let shards = self.shards.as_ref();
        Exchange::new(backend, params, lanes, shards.map(|shards| (self.group, shards, &self.contributions)))
    }

    /// Gives all processes the values of every parameter from the one that owns it.
    ///
    /// # Errors
    /// A process that cannot be reached.
    pub fn share_values(&self, backend: &B, params: &mut Params<B>) -> Result<(), StepError> {
        let Some(shards) = &self.shards else { return Ok(()) };
        let owned =
            params.ids().zip(params.iter()).map(|(id, param)| (shards.owner(id), param.value.clone()));
        let all = self.group.share(backend, owned.collect::<Vec<Owned<B>>>());
        let all = all.map_err(|problem| StepError::Group { problem })?;
        params.ids().zip(all).for_each(|(id, value)| params.set(id, value));
        Ok(())
    }

    /// All of AdamW's moments, in the process of rank 0; none elsewhere. They come bucket by bucket, so that
    /// the others hold no more than a bucket of what is not theirs.
    ///
    /// # Errors
    /// A process that cannot be reached.
    pub fn gather_moments(
        &self,
        backend: &B,
        params: &Params<B>,
        moments: &Moments<B>,
    ) -> Result<Option<Moments<B>>, String> {
        let owner = self.group.rank() == 0;
        let mut all = Moments::empty(params.len(), moments.updates);
        let parts = [(&moments.first, &mut all.first), (&moments.second, &mut all.second)];
        for (own, all) in parts {
            let Some(shards) = &self.shards else {
                all.clone_from(own);
                continue;
            };
            for bucket in shards.buckets() {
                let tensor = |id: ParamId| match &own[id.0] {
                    Some(moment) => moment.clone(),
                    None => backend.zeros(B::shape(params.get(id))),
                };
                let tensors = bucket.iter().map(|&id| (shards.owner(id), tensor(id)));
                let shared = self.group.share(backend, tensors.collect())?;
                for (id, moment) in bucket.iter().zip(shared).filter(|_| owner) {
                    all[id.0] = Some(moment);
                }
            }
        }
        Ok(owner.then_some(all))
    }
}
