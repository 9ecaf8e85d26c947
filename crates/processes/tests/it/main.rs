//! Groups of threads and of processes of this machine.

mod exchanges;
mod hostile;
mod launch;
mod lost;
mod mpi;
mod nccl;
mod together;
