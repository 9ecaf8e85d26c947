//! Several processes that take one step together: what is summed up over all of them, and by whom.
//!
//! A step's micro-batches are dealt to the processes of a [`Group`]. Two sums make their parts one step: the
//! [`Counts`] before the backward pass, because every loss is divided by the pixels of the whole step, and
//! the [`StepSums`] after it, so that the Gram matrix is formed from the gradients of all. (A mean of each
//! process's own Gram matrix would be biased towards objectives that every process sees.)

use fairhuman_engine::{Backend, ParamGrads, ParamId};

use crate::objective::Counts;
use crate::step_error::StepError;

/// The processes of a run. Every process calls the same functions in the same order, and fails where another
/// one cannot be reached any more, with that one's name.
pub trait Group<B: Backend>: Sync {
    /// Number of this process, from 0. Number 0 owns the run folder.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Replaces numbers by their sums over all processes: the same bits in all of them.
    ///
    /// # Errors
    /// A process that cannot be reached.
    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<(), String>;

    /// The bytes of every process, in the order of the ranks. They may be of different lengths.
    ///
    /// # Errors
    /// A process that cannot be reached.
    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, String>;

    /// Begins to sum tensors over all processes, each for the process that owns it (a reduce-scatter).
    /// Owners, shapes and their order are the same in all processes. The sums may be made while this process
    /// goes on.
    ///
    /// # Errors
    /// A process that cannot be reached.
    fn begin_sums(&self, backend: &B, tensors: Vec<Owned<B>>) -> Result<(), String>;

    /// The sums that were begun and not yet taken, of the tensors that this process owns, in their order.
    ///
    /// # Errors
    /// A process that cannot be reached.
    fn finish_sums(&self, backend: &B) -> Result<Vec<B::Tensor>, String>;

    /// Gives every process the owner's values of each tensor (an all-gather); the result has all of them, in
    /// order. Owners and shapes are the same in all processes.
    ///
    /// # Errors
    /// A process that cannot be reached.
    fn share(&self, backend: &B, tensors: Vec<Owned<B>>) -> Result<Vec<B::Tensor>, String>;
}

/// A tensor and the rank of the process that owns it.
pub type Owned<B> = (usize, <B as Backend>::Tensor);

/// The group of a single process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Single;

impl<B: Backend> Group<B> for Single {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum_numbers(&self, _: &mut [f64]) -> Result<(), String> {
        Ok(())
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        Ok(vec![own.to_vec()])
    }

    /// Nothing: the gradients of a single process are whole as they are.
    fn begin_sums(&self, _: &B, _: Vec<Owned<B>>) -> Result<(), String> {
        Ok(())
    }

    fn finish_sums(&self, _: &B) -> Result<Vec<B::Tensor>, String> {
        Ok(Vec::new())
    }

    fn share(&self, _: &B, tensors: Vec<Owned<B>>) -> Result<Vec<B::Tensor>, String> {
        Ok(tensors.into_iter().map(|(_, tensor)| tensor).collect())
    }
}

/// The sums of a step over its micro-batches.
pub struct StepSums<B: Backend> {
    /// Losses, one per objective; 0 where absent.
    pub losses: Vec<f64>,
    /// Samples with pixels, per objective: its lanes.
    pub present: Vec<usize>,
    /// Gradients `[K, ...]` of every parameter.
    pub grads: ParamGrads<B>,
}

impl<B: Backend> StepSums<B> {
    /// Adds a further micro-batch.
    pub fn add(&mut self, backend: &B, other: Self) {
        self.losses.iter_mut().zip(&other.losses).for_each(|(sum, value)| *sum += value);
        self.present.iter_mut().zip(&other.present).for_each(|(sum, value)| *sum += value);
        self.grads.add_all(backend, other.grads);
    }
}

/// The counts of all processes.
///
/// # Errors
/// A process that cannot be reached.
pub fn sum_counts<B: Backend>(group: &dyn Group<B>, counts: Counts) -> Result<Counts, StepError> {
    if group.size() == 1 {
        return Ok(counts);
    }
    let mut numbers = counts.inside;
    numbers.push(counts.elements);
    group.sum_numbers(&mut numbers).map_err(|problem| StepError::Group { problem })?;
    let elements = numbers.pop().unwrap_or_default();
    Ok(Counts { inside: numbers, elements })
}

/// The sums of all processes. A process that refuses its part of the step tells the others, so that all
/// refuse it.
///
/// # Errors
/// The step is refused here or elsewhere; a process that cannot be reached.
pub fn sum_step<B: Backend>(
    group: &dyn Group<B>,
    backend: &B,
    own: Result<StepSums<B>, StepError>,
) -> Result<StepSums<B>, StepError> {
    if group.size() == 1 {
        return own;
    }
    let failed = |problem| StepError::Group { problem };
    let mut sums = agreed(group, own)?;
    let counts = sums.present.iter().map(|&count| count as f64);
    let mut numbers: Vec<f64> = sums.losses.iter().copied().chain(counts).collect();
    group.sum_numbers(&mut numbers).map_err(failed)?;
    let (losses, present) = numbers.split_at(sums.losses.len());
    sums.losses = losses.to_vec();
    sums.present = present.iter().map(|&count| count as usize).collect();
    sums.grads = sum_gradients(group, backend, sums.grads).map_err(failed)?;
    Ok(sums)
}

/// The gradients of all processes, summed.
fn sum_gradients<B: Backend>(
    group: &dyn Group<B>,
    backend: &B,
    mut grads: ParamGrads<B>,
) -> Result<ParamGrads<B>, String> {
    let (rank, size) = (group.rank(), group.size());
    let ids: Vec<ParamId> =
        (0..grads.iter().len()).map(ParamId).filter(|&id| grads.get(id).is_some()).collect();
    let owned = |grads: &ParamGrads<B>| -> Vec<Owned<B>> {
        ids.iter().enumerate().filter_map(|(i, &id)| Some((i % size, grads.get(id)?.clone()))).collect()
    };
    group.begin_sums(backend, owned(&grads))?;
    let own = ids.iter().skip(rank).step_by(size);
    for (&id, sum) in own.zip(group.finish_sums(backend)?) {
        grads.set(id, Some(sum));
    }
    for (&id, sum) in ids.iter().zip(group.share(backend, owned(&grads))?) {
        grads.set(id, Some(sum));
    }
    Ok(grads)
}

/// The sums of all processes' losses, likewise.
///
/// # Errors
/// As [`sum_step`].
pub fn sum_losses<B: Backend>(
    group: &dyn Group<B>,
    own: Result<Vec<f64>, StepError>,
) -> Result<Vec<f64>, StepError> {
    if group.size() == 1 {
        return own;
    }
    let mut losses = agreed(group, own)?;
    group.sum_numbers(&mut losses).map_err(|problem| StepError::Group { problem })?;
    Ok(losses)
}

/// A process's own part, if no process refused its part.
fn agreed<B: Backend, T>(group: &dyn Group<B>, own: Result<T, StepError>) -> Result<T, StepError> {
    let mut refused = [f64::from(u8::from(own.is_err()))];
    group.sum_numbers(&mut refused).map_err(|problem| StepError::Group { problem })?;
    let own = own?;
    if refused[0] > 0.0 { Err(StepError::Elsewhere) } else { Ok(own) }
}

/// The micro-batches of `count` that fall to this process: a range of its own, in the order of the ranks, so
/// that sums over ranks add in the order of a single process.
pub fn share<B: Backend>(group: &dyn Group<B>, count: usize) -> std::ops::Range<usize> {
    let (rank, size) = (group.rank(), group.size().max(1));
    rank * count / size..(rank + 1) * count / size
}
