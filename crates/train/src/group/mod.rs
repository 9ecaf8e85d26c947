//! Several processes that take one step together: what is summed up over all of them, and by whom.
//!
//! A step's samples are dealt to the processes of a [`Group`]. Two sums make their parts one step: the
//! [`Counts`](crate::objective::Counts) before the backward pass, because every loss is divided by the pixels
//! of the whole step, and the gradients of all objectives, so that the Gram matrix is formed from the
//! gradients of all. (A mean of each process's own Gram matrix would be biased towards objectives that every
//! process sees.)
//!
//! The gradients are summed where they are used ([`shards`]): each parameter has an owner, which receives the
//! sums, has AdamW's moments and makes the update; then all receive the new values. The parts of the Gram
//! matrix and of norms that the owners see are added up as numbers. This is ZeRO's second stage (Rajbhandari
//! et al. 2020), which moves `K P + P` values where a sum for all would move `2 K P`. [`exchange`] begins the
//! sums while the backward pass goes on.

pub mod agreement;
pub mod exchange;
pub mod sharded;
pub mod shards;

use fairhuman_engine::Backend;

pub use sharded::ShardedGroup;

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

/// The part of `count` samples that falls to this process: a range of its own, in the order of the ranks.
pub fn share<B: Backend>(group: &dyn Group<B>, count: usize) -> std::ops::Range<usize> {
    let (rank, size) = (group.rank(), group.size().max(1));
    rank * count / size..(rank + 1) * count / size
}

/// Does `work` in rank 0 first, then in the others: so they find in a shared cache what it made.
///
/// # Errors
/// A process that cannot be reached, or rank 0's failure, which says more.
pub(crate) fn in_turn<B: Backend, T, E>(
    group: &dyn Group<B>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<Result<T, E>, String> {
    if group.rank() == 0 {
        let done = work();
        group.gather(&[u8::from(done.is_ok())])?;
        return Ok(done);
    }
    match group.gather(&[1])?.first() {
        Some(first) if first[..] == [1] => Ok(work()),
        _ => Err("rank 0 could not open the run".into()),
    }
}
