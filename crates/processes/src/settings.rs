//! Everything that a group needs from outside, and the errors of joining one.

use std::path::PathBuf;
use std::sync::Arc;

/// Seconds since some moment.
pub type Clock = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Everything that a group needs from outside.
#[derive(Clone)]
pub struct Settings {
    /// Name of this machine, for messages.
    pub host: String,
    /// Text that is the same in all processes of one machine and differs between machines.
    pub machine: String,
    /// Digest of the program: all processes run the same.
    pub program: [u8; 32],
    /// 32 random bytes. Over MPI those of process 0 become the group's token.
    pub random: [u8; 32],
    /// Seconds since some moment.
    pub clock: Clock,
    /// Tells the user a line: of a process that is waited for, of a connection refused.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
    /// Seconds in which all processes have to be there.
    pub patience: f64,
    /// Seconds of waiting at the start after which the user is told for whom.
    pub missed_after: f64,
    /// Seconds of waiting in an exchange after which the user is told for whom.
    pub told_after: f64,
    /// MPI's library (`$FAIRHUMAN_MPI`) instead of the one that is found.
    pub mpi: Option<PathBuf>,
}

/// A group that did not come together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// Process 0 cannot wait for connections.
    #[error("cannot wait for the other processes at {address}: {cause}")]
    Listen {
        /// The address.
        address: String,
        /// The system's reason.
        cause: String,
    },
    /// Process 0 cannot be reached.
    #[error("rank {rank}: process 0 cannot be reached at {address} ({seconds:.0} s): {cause}")]
    Connect {
        /// This process.
        rank: usize,
        /// The addresses tried.
        address: String,
        /// Seconds spent.
        seconds: f64,
        /// The last reason.
        cause: String,
    },
    /// Processes that did not come.
    #[error("{missing} did not come within {seconds:.0} s (at {address}){refused}")]
    Missing {
        /// Their ranks, in words.
        missing: String,
        /// Seconds waited.
        seconds: f64,
        /// Where process 0 waits.
        address: String,
        /// Connections that were refused meanwhile, in words.
        refused: String,
    },
    /// Process 0 refuses this process.
    #[error("{0}")]
    Refused(String),
    /// A process that is not of this group, by name.
    #[error("{0}")]
    Unequal(String),
    /// MPI cannot be used.
    #[error("{0}")]
    Mpi(String),
    /// A process that was lost while the group came together.
    #[error("{0}")]
    Lost(String),
    /// The same, where process 0 knows it and tells its user.
    #[error("{0}")]
    Told(String),
}
