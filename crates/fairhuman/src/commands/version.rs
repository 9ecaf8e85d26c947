//! `fairhuman version`: what to put into a report.

use std::process::ExitCode;

use crate::{bfloat16, libtorch, machine, processes};

/// Prints version and machine.
pub fn run() -> anyhow::Result<ExitCode> {
    outln!("fairhuman {}", env!("CARGO_PKG_VERSION"));
    outln!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    outln!("{} cores, {}", machine::cores(), machine::vector_instructions());
    outln!("{}", bfloat16::description());
    outln!("libtorch: {}", libtorch::description());
    outln!("MPI: {}", processes::mpi());
    Ok(ExitCode::SUCCESS)
}
