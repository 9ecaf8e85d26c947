//! Options of commands that work in several processes.

use clap::Args;

/// This process among several. Under `mpirun`, `srun` and `torchrun` none is needed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Several processes")]
pub struct Several {
    /// The number of this process, from 0. (mpirun, srun and torchrun tell it without this option)
    #[arg(long, value_name = "N")]
    pub rank: Option<usize>,
    /// The number of processes; 1 trains alone, whatever started this process
    #[arg(long, value_name = "N")]
    pub world: Option<usize>,
    /// Where process 0 waits for the others, by TCP. Processes of other runs are kept out by the text of
    /// FAIRHUMAN_TOKEN, the same for all
    #[arg(long, value_name = "HOST:PORT")]
    pub master: Option<String>,
}
