//! Tensors of a group from card to card by NCCL. Numbers and bytes go as those of any group, and so does the
//! name that NCCL's communicator needs to come together.

use std::sync::mpsc::{TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use fairhuman_engine::Backend;
use fairhuman_torch::{Communicator, Device, Nccl, Tensor, Torch, UniqueId};
use fairhuman_train::group::{Group, Owned};

use crate::processes::Processes;
use crate::traffic::Kind;

/// Processes with a card each, whose tensors stay on the cards.
///
/// A process that is lost ends NCCL's work on all cards, which would wait for it for ever; exchanges then
/// fail with its name, as they do without NCCL.
pub struct Cards<'p> {
    processes: &'p Processes,
    communicator: Arc<Communicator>,
    version: i32,
    /// Sums that were begun, of tensors that this process owns.
    sums: Mutex<Vec<Tensor>>,
}

impl<'p> Cards<'p> {
    /// Joins NCCL's communicator with all other processes, each on a card that no other has.
    ///
    /// # Errors
    /// Different versions of NCCL, an error of NCCL's, a process that was lost.
    pub fn join(processes: &'p Processes, nccl: Nccl, device: Device) -> Result<Self, String> {
        let (rank, size) = (processes.rank(), processes.size());
        let version = nccl.version()?;
        same_versions(processes, version)?;
        let own = if rank == 0 { nccl.unique_id()?.0.to_vec() } else { Vec::new() };
        let zero = processes.gather(&own)?.swap_remove(0);
        let id = zero.try_into().map_err(|_| "rank 0 sent no name of NCCL's communicator".to_owned())?;
        // In a thread that can be left behind: a process that never comes is waited for without end.
        let (report, joined) = sync_channel(1);
        let join = move || drop(report.send(nccl.join(device, UniqueId(id), (rank, size))));
        let builder = thread::Builder::new().name("nccl".into());
        builder.spawn(join).map_err(|error| format!("cannot start a thread: {error}"))?;
        let communicator = processes.exchange(|| match joined.try_recv() {
            Ok(communicator) => communicator.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err("the thread that joins NCCL ended".to_owned()),
        })?;
        let communicator = Arc::new(communicator);
        let ended = Arc::downgrade(&communicator);
        processes.when_lost(move || {
            if let Some(communicator) = ended.upgrade() {
                communicator.abort();
            }
        })?;
        Ok(Self { processes, communicator, version, sums: Mutex::default() })
    }

    /// The library, in words: `NCCL 2.28.9`.
    pub fn about(&self) -> String {
        format!("NCCL {}", name(self.version))
    }

    fn sums(&self) -> MutexGuard<'_, Vec<Tensor>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the card without being held up in its driver, where nobody could be told who is late.
    fn finish(&self) -> Result<(), String> {
        self.processes.exchange(|| Ok(self.communicator.is_done()?.then_some(())))
    }
}

impl Group<Torch> for Cards<'_> {
    fn rank(&self) -> usize {
        self.processes.rank()
    }

    fn size(&self) -> usize {
        self.processes.size()
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<(), String> {
        self.processes.sum_numbers(numbers)
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        self.processes.gather(own)
    }

    fn begin_sums(&self, _: &Torch, tensors: Vec<Owned<Torch>>) -> Result<(), String> {
        let rank = self.processes.rank();
        self.processes.traffic().add(Kind::Sums, bytes(&tensors, |owner| owner != rank));
        let own = self.processes.exchange(|| self.communicator.reduce(&tensors).map(Some))?;
        self.sums().extend(own);
        Ok(())
    }

    fn finish_sums(&self, _: &Torch) -> Result<Vec<Tensor>, String> {
        self.finish()?;
        Ok(std::mem::take(&mut *self.sums()))
    }

    fn share(&self, _: &Torch, tensors: Vec<Owned<Torch>>) -> Result<Vec<Tensor>, String> {
        let (rank, others) = (self.processes.rank(), self.processes.size() - 1);
        self.processes.traffic().add(Kind::Shares, others * bytes(&tensors, |owner| owner == rank));
        let all = self.processes.exchange(|| self.communicator.broadcast(&tensors).map(Some))?;
        self.finish()?;
        Ok(all)
    }
}

/// Bytes of the tensors of some owners.
fn bytes(tensors: &[Owned<Torch>], of: impl Fn(usize) -> bool) -> usize {
    let count = |tensor: &Tensor| Torch::shape(tensor).iter().product::<usize>();
    tensors.iter().filter(|(owner, _)| of(*owner)).map(|(_, tensor)| 4 * count(tensor)).sum()
}

/// A version as people write it.
fn name(version: i32) -> String {
    format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
}

/// Refuses libraries of different versions, which do not understand each other.
fn same_versions(processes: &Processes, own: i32) -> Result<(), String> {
    let versions = processes.gather(&own.to_le_bytes())?;
    let of = |rank: usize| versions[rank][..].try_into().map_or(0, i32::from_le_bytes);
    match (1..versions.len()).find(|&rank| of(rank) != of(0)) {
        None => Ok(()),
        Some(rank) => Err(format!(
            "rank {rank} has NCCL {}, and rank 0 has {}: install the same torch for all processes",
            name(of(rank)),
            name(of(0))
        )),
    }
}
