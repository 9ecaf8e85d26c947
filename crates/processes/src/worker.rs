//! The thread that makes a group's exchanges, one after another. MPI wants all its calls from one thread, and
//! a thread that waits in a collective for a process that died cannot be woken: those who wait for its
//! results can leave.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// Exchanges between all processes: all make the same ones in the same order.
pub trait Collectives: Send {
    /// The bytes of every process, in the order of the ranks.
    fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, String>;

    /// As [`Collectives::gather`], of bytes that are as many in every process.
    fn gather_equal(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, String>;

    /// Sums over all processes of the part of `values` that this process owns: `lengths` are the parts'
    /// lengths in the order of the ranks.
    fn reduce_scatter(&mut self, values: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>, String>;

    /// The parts of all processes, one after another; `lengths` as above.
    fn all_gather(&mut self, own: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>, String>;

    /// All processes are done.
    fn end(&mut self) -> Result<(), String>;
}

/// One exchange.
type Job = Box<dyn FnOnce(&mut dyn Collectives) + Send>;

/// The thread's mailbox.
pub struct Worker(Sender<Job>);

impl Worker {
    /// Starts the thread, in which `open` runs first. `wait` says for how long to wait for it before it is
    /// asked again, or why no longer.
    pub fn start<C: Collectives + 'static, T: Send + 'static>(
        open: impl FnOnce() -> Result<(C, T), String> + Send + 'static,
        mut wait: impl FnMut() -> Result<Duration, String>,
    ) -> Result<(Self, T), String> {
        let (jobs, inbox) = channel::<Job>();
        let (report, opened) = sync_channel(1);
        let started = thread::Builder::new().name("exchanges".into()).spawn(move || {
            let mut collectives = match open() {
                Ok((collectives, about)) => {
                    let _ = report.send(Ok(about));
                    collectives
                }
                Err(error) => return drop(report.send(Err(error))),
            };
            inbox.into_iter().for_each(|job| job(&mut collectives));
        });
        started.map_err(|error| format!("cannot start a thread: {error}"))?;
        loop {
            match opened.recv_timeout(wait()?) {
                Ok(about) => return about.map(|about| (Self(jobs), about)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("the thread of exchanges ended".into()),
            }
        }
    }

    /// Queues an exchange; its result comes by the channel.
    pub fn queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Collectives) -> Result<T, String> + Send + 'static,
    ) -> Receiver<Result<T, String>> {
        let (reply, result) = sync_channel(1);
        // A thread that is gone hangs up, which the receiver sees.
        let _ = self
            .0
            .send(Box::new(move |collectives: &mut dyn Collectives| drop(reply.send(work(collectives)))));
        result
    }
}
