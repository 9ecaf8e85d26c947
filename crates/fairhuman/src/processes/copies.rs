//! Commands that are for one process, started in several by mistake: they would write the same files.

use fairhuman_processes::Options;
use fairhuman_processes::launch::detect;

use crate::cli::Command;

/// True for commands that write no files, or train in several processes.
fn may_be_copied(command: &Command) -> bool {
    matches!(
        command,
        Command::Train(_)
            | Command::Version
            | Command::Schema
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Watch(_)
    )
}

/// True for a command that a launcher started in several processes although it is for one, which is told
/// once.
pub fn are_copies(command: &Command) -> bool {
    if may_be_copied(command) {
        return false;
    }
    // Variables that make no sense are none of this command's business. Nor are those of an srun without MPI,
    // which starts programs of all kinds.
    let Some(launch) = detect(&super::variable, &Options::default()).ok().flatten() else { return false };
    if launch.rank == 0 {
        let unset: String = launch.launcher.variables().iter().map(|name| format!("-u {name} ")).collect();
        errln!(
            "error: only `fairhuman train` works in several processes, and {} started {}, which would write the same \
             files: start this command alone; to run copies that write different files, start each by `env \
             {unset}fairhuman ...`",
            launch.launcher.name(),
            launch.size
        );
    }
    true
}
