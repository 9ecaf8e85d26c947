//! This process among several: who started them, how they share the machine, and how they end together.

mod copies;
mod threads;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use fairhuman_engine::{Backend, OutOfMemory};
use fairhuman_processes::launch;
use fairhuman_processes::{Cards, Interface, JoinError, Launch, Options, Processes, Settings};
use fairhuman_torch::Nccl;
use fairhuman_train::group::{Group, Single};
use fairhuman_train::recipe::{Device, GradientUse, Recipe};

use crate::cli::Several;
use crate::memory::Memory;
use crate::{clock, libtorch, output};

pub use copies::are_copies;

/// The exit code of an error.
const FAILED: u8 = 1;
/// Seconds in which all processes have to be there.
const PATIENCE: f64 = 120.0;
/// Seconds of waiting for the others at the start after which the user is told.
const MISSED_AFTER: f64 = 5.0;
/// Seconds of waiting for a process in an exchange after which the user is told.
const TOLD_AFTER: f64 = 20.0;

/// The processes that a command trains in.
pub enum Crew {
    /// This one.
    Alone,
    /// Several, of which this is one.
    Several(Box<Processes>),
}

impl Crew {
    /// The same as training code knows it.
    pub fn group<B: Backend>(&self) -> &dyn Group<B> {
        match self {
            Crew::Alone => &Single,
            Crew::Several(processes) => &**processes,
        }
    }

    /// NCCL between the cards of several processes; none for a single process, and on other devices.
    pub fn cards(&self, device: Device) -> anyhow::Result<Option<Cards<'_>>> {
        let (Crew::Several(processes), Device::Cuda(card)) = (self, device) else { return Ok(None) };
        let nccl = Nccl::of(libtorch::open()?).map_err(anyhow::Error::msg)?;
        let cards = Cards::join(processes, nccl, fairhuman_torch::Device::Cuda(card));
        let cards = cards.map_err(anyhow::Error::msg)?;
        outln!("tensors go from card to card by {}", cards.about());
        Ok(Some(cards))
    }

    /// True in the process that has the screen and the run folder.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    fn rank(&self) -> usize {
        match self {
            Crew::Alone => 0,
            Crew::Several(processes) => processes.rank(),
        }
    }

    /// Does work in the first process of every machine, and then in the others: what the first writes into a
    /// cache the others find there.
    pub fn in_turn<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let Crew::Several(processes) = self else { return work() };
        let done = || processes.gather(&[]).map(drop).map_err(anyhow::Error::msg);
        let is_first = processes.same_machine().first() == Some(&processes.rank());
        if !is_first {
            done()?;
        }
        let result = work()?;
        if is_first {
            done()?;
        }
        Ok(result)
    }

    /// Threads, card and memory of a process that shares its machine with others.
    pub fn settle(&self, recipe: &mut Recipe) -> anyhow::Result<()> {
        let Crew::Several(processes) = self else { return Ok(()) };
        let threads = threads::share(processes)?;
        if recipe.threads == 0 {
            recipe.threads = threads.count;
        }
        recipe.device = card(recipe.device, processes)?;
        if recipe.gradients == GradientUse::Auto {
            // Without the gradients there is nothing to sum.
            recipe.gradients = GradientUse::Kept;
        }
        let machines = processes.machines();
        outln!(
            "{} processes by {}, over {}{}; {} each{}",
            processes.size(),
            processes.launcher().name(),
            processes.about(),
            if machines > 1 { format!(", on {machines} machines") } else { String::new() },
            crate::units::count(recipe.threads as u64, "thread"),
            threads.reason
        );
        if let Some(hint) = threads.hint {
            outln!("note: {hint}");
        }
        Ok(())
    }

    /// This process's part of a machine's memory.
    pub fn share_of(&self, memory: Option<Memory>, device: Device) -> Option<Memory> {
        let Crew::Several(processes) = self else { return memory };
        let parts = match device {
            Device::Cuda(_) => 1.0,
            _ => processes.same_machine().len() as f64,
        };
        memory
            .map(|Memory { available, total }| Memory { available: available / parts, total: total / parts })
    }
}

/// The card of a process: `cuda` is a card for each on its machine.
fn card(device: Device, processes: &Processes) -> anyhow::Result<Device> {
    let here = processes.same_machine().len();
    match device {
        Device::Cuda(0) => {
            let cards = libtorch::open()?.cuda_devices().map_err(anyhow::Error::msg)?;
            let rank = processes.local_rank();
            // A launcher that gives every process its own card shows it no other.
            let card = if cards == 1 { 0 } else { rank };
            ensure!(
                card < cards,
                "process {rank} of this machine has no card: it has {}; start as many processes as there are cards",
                crate::units::count(cards as u64, "card")
            );
            Ok(Device::Cuda(u8::try_from(card)?))
        }
        Device::Cuda(_) if here > 1 => {
            anyhow::bail!(
                "{device} is one card, and {here} processes are on this machine: device = \"cuda\" gives each a card"
            )
        }
        device => Ok(device),
    }
}

/// Runs a command that may be one of several processes: meets the others, and ends with them.
///
/// # Errors
/// Those of `work` in a single process; a group that does not come together.
pub fn run(
    options: &Several,
    alone_only: Option<&str>,
    work: impl FnOnce(&Crew) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let Several { rank, world, master } = options.clone();
    let Some(launch) = launch::detect(&variable, &Options { rank, world, master })? else {
        return work(&Crew::Alone);
    };
    output::speak_as(launch.rank, !launch.launcher.has_one_screen());
    if let Some(what) = alone_only {
        let error = anyhow::anyhow!(
            "{what} is for one process, and {} started {}: start it alone",
            launch.launcher.name(),
            launch.size
        );
        let is_told = launch.rank != 0 && launch.launcher.has_one_screen();
        return if is_told { Ok(ExitCode::FAILURE) } else { Err(error) };
    }
    let one_screen = launch.launcher.has_one_screen();
    let processes = match Processes::join(&launch, &settings()?) {
        Ok(processes) => processes,
        Err(JoinError::Told(_)) if one_screen => leave(FAILED),
        Err(error) => {
            errln!("error: {error}");
            leave(FAILED);
        }
    };
    let crew = Crew::Several(Box::new(processes));
    let result = OutOfMemory::catch(|| work(&crew)).unwrap_or_else(|error| Err(error.into()));
    let Crew::Several(processes) = &crew else { return result };
    let error = match result.map(|code| (code, processes.end())) {
        Ok((code, Ok(()))) => return Ok(code),
        Ok((_, Err(problem))) => problem,
        Err(error) => crate::chain(&error),
    };
    // On one screen every error is told once, by process 0.
    if !(processes.fail(&error) && one_screen) {
        errln!("error: {error}");
    }
    leave(FAILED)
}

/// Ends this process at once. Another thread may be in a collective that will never end, and MPI's functions
/// for the end of a process wait for it.
pub fn leave(code: u8) -> ! {
    #[cfg(unix)]
    // SAFETY: no memory is touched any more; files were written before, and output is not buffered.
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(unix))]
    std::process::exit(code.into())
}

/// An environment variable.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn settings() -> anyhow::Result<Settings> {
    let clock = clock::start();
    let program = std::env::current_exe().context("this program's file")?;
    let program = fairhuman_files::read(&program).with_context(|| program.display().to_string())?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let (host, machine) = (host(), machine());
    Ok(Settings {
        machine: machine.unwrap_or_else(|| host.clone()),
        host,
        program: *blake3::hash(&program).as_bytes(),
        random,
        clock: Arc::new(clock),
        tell: Arc::new(|line| errln!("{line}")),
        patience: PATIENCE,
        missed_after: MISSED_AFTER,
        told_after: TOLD_AFTER,
        mpi: std::env::var_os("FAIRHUMAN_MPI").map(Into::into),
    })
}

/// This machine's name.
fn host() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        variable("COMPUTERNAME").unwrap_or_else(|| "?".to_owned())
    }
}

/// Text that no other machine has. Containers have names of their own and share this.
fn machine() -> Option<String> {
    let text = fairhuman_files::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// The MPI that would be opened, for `fairhuman version`.
pub fn mpi() -> String {
    let interface = match launch::detect(&variable, &Options::default()) {
        Ok(Some(Launch { interface, .. })) => interface,
        Ok(None) | Err(_) => Interface::default(),
    };
    let named = std::env::var_os("FAIRHUMAN_MPI").map(std::path::PathBuf::from);
    match fairhuman_processes::describe_mpi(named.as_deref(), interface) {
        Ok(found) => found,
        Err(_) if named.is_none() => "none".to_owned(),
        Err(problem) => format!("none ({problem})"),
    }
}
