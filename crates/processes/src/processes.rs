//! A process of a group: exchanges with the others, and the group's end.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::launch::{Launch, Launcher};
use crate::lifeline::Lifeline;
use crate::settings::{JoinError, Settings};
use crate::traffic::{Kind, Traffic};
use crate::worker::Worker;
use crate::{mpi, star};

/// Time between looks at the lifeline while a result is waited for. Short: MPI may crash soon after another
/// process did, and this one is to say before which it was.
const LOOK: Duration = Duration::from_millis(10);
/// Time for MPI's end.
const FINALIZE: Duration = Duration::from_secs(30);

/// This process among those that train together.
///
/// It is a [`Group`](fairhuman_train::group::Group) for every backend: tensors pass through the memory of the
/// processes. A process that is gone makes the exchanges of all others fail with its name.
pub struct Processes {
    rank: usize,
    size: usize,
    local_rank: usize,
    same_machine: Vec<usize>,
    machines: usize,
    launcher: Launcher,
    about: String,
    worker: Worker,
    lifeline: Lifeline,
    traffic: Traffic,
    pub(crate) begun: Mutex<VecDeque<Begun>>,
}

/// Sums that were begun: the shapes of those that this process owns, and where their values come.
pub(crate) struct Begun {
    pub shapes: Vec<Vec<usize>>,
    pub values: Pending<Vec<f32>>,
}

/// An exchange whose result is to come.
pub(crate) struct Pending<T> {
    exchange: u64,
    result: Receiver<Result<T, String>>,
}

/// The parts of a group that is together.
pub(crate) struct Joined {
    pub worker: Worker,
    pub lifeline: Lifeline,
    /// The way that exchanges take, in words.
    pub about: String,
}

impl Processes {
    /// Meets the other processes.
    ///
    /// # Errors
    /// Processes that do not come, or that run another program; MPI that cannot be used.
    pub fn join(launch: &Launch, settings: &Settings) -> Result<Self, JoinError> {
        let Joined { worker, lifeline, about } = match &launch.master {
            Some(master) => star::join(launch, master, settings)?,
            None => mpi::join(launch, settings)?,
        };
        let (rank, size) = (launch.rank, launch.size);
        let mut joined = Self {
            rank,
            size,
            local_rank: 0,
            same_machine: vec![rank],
            machines: 1,
            launcher: launch.launcher,
            about,
            worker,
            lifeline,
            traffic: Traffic::default(),
            begun: Mutex::default(),
        };
        let machines = joined.gather(settings.machine.as_bytes());
        let machines = machines.map_err(|text| match joined.fail(&text) {
            true => JoinError::Told(text),
            false => JoinError::Lost(text),
        })?;
        joined.same_machine = (0..size).filter(|&other| machines[other] == machines[rank]).collect();
        let place = joined.same_machine.iter().position(|&other| other == rank).unwrap_or(0);
        joined.local_rank = launch.local_rank.unwrap_or(place);
        joined.machines = machines.iter().collect::<BTreeSet<_>>().len();
        Ok(joined)
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Number of this process among those on its machine, from 0: the number of its card.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// The ranks of all processes on this machine.
    pub fn same_machine(&self) -> &[usize] {
        &self.same_machine
    }

    /// Number of machines.
    pub fn machines(&self) -> usize {
        self.machines
    }

    /// The launcher that started the processes.
    pub fn launcher(&self) -> Launcher {
        self.launcher
    }

    /// The way that exchanges take, in words: `Open MPI v4.1.4`, `TCP`.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Bytes that this process sent.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Replaces numbers by their sums over all processes, added in the order of the ranks.
    ///
    /// # Errors
    /// A process that was lost.
    pub fn sum_numbers(&self, numbers: &mut [f64]) -> Result<(), String> {
        let own: Vec<u8> = bytemuck::cast_slice(numbers).to_vec();
        self.traffic.add(Kind::Numbers, own.len() * (self.size - 1));
        let all = self.wait(self.queue(move |collectives| collectives.gather_equal(&own)))?;
        let expected = numbers.len();
        numbers.fill(0.0);
        for (rank, bytes) in all.iter().enumerate() {
            let values: Vec<f64> = bytemuck::pod_collect_to_vec(bytes);
            if values.len() != expected {
                let found = values.len();
                return Err(format!("rank {rank} sent {found} numbers, expected {expected}"));
            }
            // Not 0 + x: the sum of one negative zero is a negative zero.
            let add = |(sum, value): (&mut f64, f64)| *sum = if rank == 0 { value } else { *sum + value };
            numbers.iter_mut().zip(values).for_each(add);
        }
        Ok(())
    }

    /// The bytes of every process, in the order of the ranks.
    ///
    /// # Errors
    /// A process that was lost.
    pub fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let own = own.to_vec();
        self.traffic.add(Kind::Numbers, own.len() * (self.size - 1));
        self.wait(self.queue(move |collectives| collectives.gather(&own)))
    }

    /// An exchange of another library's (NCCL's): asks `poll` until it gives a result.
    ///
    /// # Errors
    /// A process that was lost, and those of `poll`.
    pub fn exchange<T>(&self, mut poll: impl FnMut() -> Result<Option<T>, String>) -> Result<T, String> {
        let exchange = self.lifeline.next_exchange();
        let _waiting = self.lifeline.waiting(exchange);
        let mut pause = Duration::from_micros(20);
        loop {
            match poll() {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => self.lifeline.check(exchange)?,
                Err(problem) => return Err(self.lifeline.reason(problem)),
            }
            std::thread::park_timeout(pause);
            pause = (2 * pause).min(Duration::from_millis(1));
        }
    }

    /// Does something in a thread of its own once a process is lost; never if this process ends before.
    ///
    /// # Errors
    /// No further thread can be had.
    pub fn when_lost(&self, action: impl FnOnce() + Send + 'static) -> Result<(), String> {
        self.lifeline.when_lost(action).map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// Waits until all processes are done, and takes leave of them.
    ///
    /// # Errors
    /// A process that was lost before.
    pub fn end(&self) -> Result<(), String> {
        self.lifeline.end()?;
        let ended = self.worker.queue(|collectives| collectives.end());
        // The lifeline no longer tells of a process that dies now, and MPI would wait for it without end.
        match ended.recv_timeout(FINALIZE) {
            Ok(result) => result,
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(format!(
                "MPI_Finalize has not come to an end within {} s: a process died when its work was done; all files \
                 are written",
                FINALIZE.as_secs()
            )),
        }
    }

    /// Ends with an error, of this process or of one that was lost; all others end with it, too. True if
    /// process 0 has it and tells it; false if this process has to.
    pub fn fail(&self, text: &str) -> bool {
        self.lifeline.fail(text)
    }

    pub(crate) fn queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn crate::worker::Collectives) -> Result<T, String> + Send + 'static,
    ) -> Pending<T> {
        let exchange = self.lifeline.next_exchange();
        Pending { exchange, result: self.worker.queue(work) }
    }

    /// The result of an exchange, or the process that was lost.
    pub(crate) fn wait<T>(&self, pending: Pending<T>) -> Result<T, String> {
        let Pending { exchange, result } = pending;
        let _waiting = self.lifeline.waiting(exchange);
        loop {
            match result.recv_timeout(LOOK) {
                Ok(result) => return result.map_err(|problem| self.lifeline.reason(problem)),
                Err(RecvTimeoutError::Timeout) => self.lifeline.check(exchange)?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.lifeline.reason("the thread of exchanges ended".to_owned()));
                }
            }
        }
    }

    pub(crate) fn begun(&self) -> std::sync::MutexGuard<'_, VecDeque<Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
