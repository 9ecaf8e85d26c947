//! Who started this process, and as which of how many.
//!
//! Launchers tell it in environment variables; the caller hands in a function that looks one up. A variable
//! that says nothing of a group (one process, or a Slurm allocation without `srun`) makes none.

use crate::address::Address;

/// Options of the command line that name a group; all, or none of the first two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `--rank`: the number of this process, from 0.
    pub rank: Option<usize>,
    /// `--world`: the number of processes. 1 trains alone, whatever started the process.
    pub world: Option<usize>,
    /// `--master`: `HOST:PORT` at which process 0 waits for the others.
    pub master: Option<String>,
}

/// A process of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Number of this process, from 0.
    pub rank: usize,
    /// Number of processes, 2 or more.
    pub size: usize,
    /// Its number among those on its machine, where the launcher tells.
    pub local_rank: Option<usize>,
    /// The launcher.
    pub launcher: Launcher,
    /// The binary interface of MPI that the launcher is likely to belong to.
    pub interface: Interface,
    /// Where process 0 waits for the others; none: they meet over MPI.
    pub master: Option<Address>,
    /// Text that only processes of this run know, as far as somebody chose one (`$FAIRHUMAN_TOKEN`).
    pub secret: String,
}

/// Binary interfaces of MPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// Open MPI's.
    #[default]
    OpenMpi,
    /// MPICH's, which Intel MPI, MVAPICH and Cray MPI share.
    Mpich,
}

/// Programs that start processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// `mpirun` of Open MPI.
    OpenMpi,
    /// `mpiexec` of MPICH, Intel MPI or MVAPICH (Hydra).
    Mpich,
    /// `srun`.
    Slurm,
    /// `torchrun`, or whatever else sets `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`.
    Torchrun,
    /// A person, by `--rank`, `--world` and `--master`.
    Options,
}

impl Launcher {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Launcher::OpenMpi => "mpirun",
            Launcher::Mpich => "mpiexec",
            Launcher::Slurm => "srun",
            Launcher::Torchrun => "torchrun",
            Launcher::Options => "--rank, --world and --master",
        }
    }

    /// True if the processes write to one screen.
    pub fn has_one_screen(self) -> bool {
        self != Launcher::Options
    }

    /// The variables that make it known.
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Launcher::OpenMpi => &["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
            Launcher::Mpich => &["PMI_RANK", "PMI_SIZE"],
            Launcher::Slurm => &["SLURM_PROCID", "SLURM_STEP_NUM_TASKS"],
            Launcher::Torchrun => &["RANK", "WORLD_SIZE"],
            Launcher::Options => &[],
        }
    }
}

/// Variables or options that do not make sense together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// One of a pair.
    #[error("{there} is set ({value}) but {missing} is not: set both, or neither{hint}")]
    Half {
        /// The one that is set.
        there: &'static str,
        /// Its value.
        value: String,
        /// The one that is not.
        missing: &'static str,
        /// Further help.
        hint: &'static str,
    },
    /// No number, or a rank that is none of the group's.
    #[error("{name} = {value:?}: expected {expected}")]
    Value {
        /// The variable or option.
        name: &'static str,
        /// Its value.
        value: String,
        /// The values that make sense.
        expected: String,
    },
    /// Two sources that differ.
    #[error(
        "{first} say process {} of {}, but {second} say process {} of {}: unset one pair",
        .one.0, .one.1, .other.0, .other.1
    )]
    Contradiction {
        /// The first source's names.
        first: String,
        /// Its rank and size.
        one: (usize, usize),
        /// The second source's names.
        second: String,
        /// Its rank and size.
        other: (usize, usize),
    },
    /// srun without MPI.
    #[error(
        "srun started {size} processes without MPI: start them with `srun --mpi=pmix` or `srun --mpi=pmi2` \
         (`srun --mpi=list` tells which there are), or say where process 0 is with --master HOST:PORT; \
         to train alone in each of them, add --world 1"
    )]
    NoWireUp {
        /// Number of processes.
        size: usize,
    },
}

/// The largest group. Numbers above are a slip of the hand.
const MOST: usize = 65_536;

/// Number of Slurm's first step that is none of `srun`'s own (the batch script, an interactive shell).
const SPECIAL_STEPS: u64 = 0xffff_fff0;

/// The group that this process was started in; none if it is alone.
///
/// # Errors
/// Variables or options that are set in part, are no numbers, or contradict each other.
pub fn detect(
    variable: &dyn Fn(&str) -> Option<String>,
    options: &Options,
) -> Result<Option<Launch>, LaunchError> {
    let secret =
        |fallback: &str| variable("FAIRHUMAN_TOKEN").or_else(|| variable(fallback)).unwrap_or_default();
    let master = options.master.as_deref().map(|text| address("--master", text)).transpose()?;
    if options.world == Some(1) && options.rank.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let by_options = by_options(options)?;
    let started = started(variable)?;
    if let Some((rank, size)) = by_options {
        if let Some((launcher, found)) = started.filter(|(_, found)| found.1 > 1 && *found != (rank, size)) {
            let first = "--rank and --world".to_owned();
            let second = launcher.variables().join(" and ");
            return Err(LaunchError::Contradiction { first, one: (rank, size), second, other: found });
        }
        let (local_rank, launcher, interface) = (None, Launcher::Options, Interface::default());
        let secret = secret("");
        return Ok(Some(Launch { rank, size, local_rank, launcher, interface, master, secret }));
    }
    let Some((launcher, (rank, size))) = started.filter(|(_, (_, size))| *size > 1) else {
        return match options.master.clone() {
            None => Ok(None),
            Some(value) => {
                let hint = ", unless a launcher such as srun sets them";
                Err(LaunchError::Half { there: "--master", value, missing: "--rank and --world", hint })
            }
        };
    };
    let number = |name: &'static str| -> Result<Option<usize>, LaunchError> {
        variable(name).map(|value| parse(name, &value, MOST)).transpose()
    };
    let is_set = |name: &str| variable(name).is_some();
    let interface = match is_set("PMIX_RANK") || launcher == Launcher::OpenMpi || !is_set("PMI_RANK") {
        true => Interface::OpenMpi,
        false => Interface::Mpich,
    };
    let launch =
        |local_rank, master, secret| Launch { rank, size, local_rank, launcher, interface, master, secret };
    Ok(Some(match launcher {
        Launcher::OpenMpi => launch(number("OMPI_COMM_WORLD_LOCAL_RANK")?, master, secret("")),
        Launcher::Mpich => launch(number("MPI_LOCALRANKID")?, master, secret("")),
        Launcher::Slurm => {
            let has_mpi = ["PMIX_RANK", "PMI_RANK", "PMI_FD"].into_iter().any(is_set);
            if master.is_none() && !has_mpi {
                return Err(LaunchError::NoWireUp { size });
            }
            launch(number("SLURM_LOCALID")?, master, secret("SLURM_JOB_ID"))
        }
        Launcher::Torchrun | Launcher::Options => {
            let master = match master {
                Some(master) => master,
                None => torchrun_master(variable)?,
            };
            launch(number("LOCAL_RANK")?, Some(master), secret("TORCHELASTIC_RUN_ID"))
        }
    }))
}

/// Rank and size from the options.
fn by_options(options: &Options) -> Result<Option<(usize, usize)>, LaunchError> {
    let half = |there, value: usize, missing| {
        Err(LaunchError::Half { there, value: value.to_string(), missing, hint: "" })
    };
    match (options.rank, options.world) {
        (None, None) => Ok(None),
        (Some(rank), None) => half("--rank", rank, "--world"),
        (None, Some(world)) => half("--world", world, "--rank"),
        (Some(rank), Some(world)) => {
            if world > MOST || world == 0 {
                return Err(wrong("--world", &world.to_string(), format!("a number from 1 to {MOST}")));
            }
            let rank = parse("--rank", &rank.to_string(), world - 1)?;
            match options.master {
                Some(_) => Ok(Some((rank, world))),
                None => half("--world", world, "--master"),
            }
        }
    }
}

/// A launcher, and the rank and number of processes that it gives.
type Started = (Launcher, (usize, usize));

/// The launcher whose variables are set, with rank and size: the innermost, where one starts another.
fn started(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Started>, LaunchError> {
    let mut found: Option<Started> = None;
    for launcher in [Launcher::OpenMpi, Launcher::Mpich, Launcher::Slurm, Launcher::Torchrun] {
        // Daemons of mpirun are started by srun and leave their variables behind; an allocation sets some.
        if launcher == Launcher::Slurm && (found.is_some() || !is_step(variable)) {
            continue;
        }
        // srun --mpi=pmi2 sets those of mpiexec, too.
        let is_same = |[one, other]: [&str; 2]| variable(one) == variable(other);
        if launcher == Launcher::Mpich
            && is_step(variable)
            && [["PMI_RANK", "SLURM_PROCID"], ["PMI_SIZE", "SLURM_STEP_NUM_TASKS"]].into_iter().all(is_same)
        {
            continue;
        }
        let &[rank_name, size_name] = launcher.variables() else { continue };
        let pair = match (variable(rank_name), variable(size_name)) {
            (None, None) => continue,
            (Some(value), None) => return Err(half(rank_name, value, size_name)),
            (None, Some(value)) => return Err(half(size_name, value, rank_name)),
            (Some(rank), Some(size)) => {
                let size = parse(size_name, &size, MOST)?.max(1);
                (parse(rank_name, &rank, size - 1)?, size)
            }
        };
        match found {
            // A script may repeat the launcher's numbers for other programs; others than those are a mistake.
            Some((first, one)) if launcher == Launcher::Torchrun && one != pair => {
                let names = |launcher: Launcher| launcher.variables().join(" and ");
                let (first, second) = (names(first), names(launcher));
                return Err(LaunchError::Contradiction { first, one, second, other: pair });
            }
            Some(_) => {}
            None => found = Some((launcher, pair)),
        }
    }
    Ok(found)
}

/// True in a process that `srun` started. A batch script and an interactive shell are steps of one process
/// with the allocation's variables; `salloc` makes no step.
fn is_step(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let step = variable("SLURM_STEP_ID").or_else(|| variable("SLURM_STEPID"));
    let is_own = step.and_then(|step| step.parse::<u64>().ok()).is_some_and(|step| step < SPECIAL_STEPS);
    is_own && variable("SLURM_PROCID").is_some() && variable("SLURM_STEP_NUM_TASKS").is_some()
}

/// `MASTER_ADDR:MASTER_PORT`, where torchrun's own agent does not listen there; else the port after it.
fn torchrun_master(variable: &dyn Fn(&str) -> Option<String>) -> Result<Address, LaunchError> {
    let hint = "; torchrun sets them, or use --master HOST:PORT";
    let needed = |missing: &'static str| {
        variable(missing).ok_or_else(|| {
            let value = variable("WORLD_SIZE").unwrap_or_default();
            LaunchError::Half { there: "WORLD_SIZE", value, missing, hint }
        })
    };
    let (host, port) = (needed("MASTER_ADDR")?, needed("MASTER_PORT")?);
    let port = parse("MASTER_PORT", &port, usize::from(u16::MAX) - 1)?;
    let is_taken = variable("TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True");
    // Below 65,536, as just checked.
    let port = u16::try_from(port + usize::from(is_taken)).unwrap_or(u16::MAX);
    Ok(Address { host, port })
}

fn address(name: &'static str, text: &str) -> Result<Address, LaunchError> {
    text.parse().map_err(|expected: &str| wrong(name, text, expected.to_owned()))
}

fn half(there: &'static str, value: String, missing: &'static str) -> LaunchError {
    let hint = "; --world 1 trains alone";
    LaunchError::Half { there, value, missing, hint }
}

fn wrong(name: &'static str, value: &str, expected: String) -> LaunchError {
    LaunchError::Value { name, value: value.to_owned(), expected }
}

fn parse(name: &'static str, value: &str, most: usize) -> Result<usize, LaunchError> {
    let number = value.trim().parse().ok().filter(|&number| number <= most);
    number.ok_or_else(|| wrong(name, value, format!("a number from 0 to {most}")))
}
