//! Groups of processes that train together: [`launch`] tells who started this process and as which of how
//! many, [`Processes`] meets the others and is a [`Group`](fairhuman_train::group::Group).
//!
//! Tensors, numbers and bytes go over MPI where a launcher of MPI started the processes (`mpi`), else over
//! TCP by way of process 0 (`star`), which is for few processes and small adapters. Tensors on cards go from
//! card to card by NCCL ([`Cards`]). Beside all of these, every process holds a connection to process 0
//! (`lifeline`): when a process ends, however it ends, the system closes its connection, so that all others
//! can end with its name instead of waiting in a collective for ever.
//!
//! The crate reads no environment, prints nothing and has no clock: [`Settings`] brings them.
#![deny(missing_docs)]

mod address;
mod group;
pub mod launch;
mod lifeline;
mod mpi;
mod nccl;
mod patience;
mod processes;
mod settings;
mod star;
mod traffic;
mod worker;

pub use address::Address;
pub use launch::{Interface, Launch, Launcher, Options};
pub use mpi::describe as describe_mpi;
pub use nccl::Cards;
pub use processes::Processes;
pub use settings::{JoinError, Settings};
pub use traffic::{Kind, Traffic};
