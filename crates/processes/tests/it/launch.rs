//! Every launcher's variables, and those that are no group.

use fairhuman_processes::launch::{LaunchError, detect};
use fairhuman_processes::{Interface, Launch, Launcher, Options};

fn try_with(variables: &[(&str, &str)], options: &Options) -> Result<Option<Launch>, LaunchError> {
    let variable =
        |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
    detect(&variable, options)
}

fn with(variables: &[(&str, &str)]) -> Option<Launch> {
    try_with(variables, &Options::default()).unwrap()
}

fn options(rank: Option<usize>, world: Option<usize>, master: Option<&str>) -> Options {
    Options { rank, world, master: master.map(str::to_owned) }
}

const OPEN_MPI: &[(&str, &str)] = &[
    ("OMPI_COMM_WORLD_RANK", "2"),
    ("OMPI_COMM_WORLD_SIZE", "4"),
    ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
    ("PMIX_RANK", "2"),
];
const HYDRA: &[(&str, &str)] = &[("PMI_RANK", "2"), ("PMI_SIZE", "4"), ("MPI_LOCALRANKID", "1")];
const SRUN: &[(&str, &str)] = &[
    ("SLURM_JOB_ID", "77"),
    ("SLURM_STEP_ID", "0"),
    ("SLURM_PROCID", "2"),
    ("SLURM_NTASKS", "4"),
    ("SLURM_STEP_NUM_TASKS", "4"),
    ("SLURM_LOCALID", "1"),
];
const TORCHRUN: &[(&str, &str)] = &[
    ("RANK", "2"),
    ("WORLD_SIZE", "4"),
    ("LOCAL_RANK", "1"),
    ("MASTER_ADDR", "node0"),
    ("MASTER_PORT", "29500"),
];

#[test]
fn every_launcher_is_known_by_its_variables() {
    let pmix = [SRUN, &[("PMIX_RANK", "2")]].concat();
    let pmi2 = [SRUN, &[("PMI_RANK", "2"), ("PMI_SIZE", "4"), ("PMI_FD", "9")]].concat();
    for (variables, launcher, interface, master) in [
        (OPEN_MPI, Launcher::OpenMpi, Interface::OpenMpi, None),
        (HYDRA, Launcher::Mpich, Interface::Mpich, None),
        (&pmix, Launcher::Slurm, Interface::OpenMpi, None),
        (&pmi2, Launcher::Slurm, Interface::Mpich, None),
        (TORCHRUN, Launcher::Torchrun, Interface::OpenMpi, Some("node0:29500")),
    ] {
        let launch = with(variables).unwrap();
        assert_eq!((launch.rank, launch.size, launch.local_rank), (2, 4, Some(1)), "{launcher:?}");
        assert_eq!((launch.launcher, launch.interface), (launcher, interface));
        assert_eq!(launch.master.map(|master| master.to_string()).as_deref(), master);
    }
}

#[test]
fn the_port_after_its_own_is_used_where_torchruns_agent_listens() {
    let agent = [TORCHRUN, &[("TORCHELASTIC_USE_AGENT_STORE", "True")]].concat();
    assert_eq!(with(&agent).unwrap().master.unwrap().to_string(), "node0:29501");
}

#[test]
fn one_process_or_an_allocation_alone_is_no_group() {
    let none: &[(&str, &str)] = &[];
    let alone: [&[(&str, &str)]; 9] = [
        none,
        &[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "1")],
        &[("PMI_RANK", "0"), ("PMI_SIZE", "1")],
        &[("RANK", "0"), ("WORLD_SIZE", "1")],
        // salloc: an allocation of four tasks and a shell on the login node.
        &[("SLURM_JOB_ID", "77"), ("SLURM_NTASKS", "4"), ("SLURM_NPROCS", "4")],
        // sbatch: its script is one process, with and without a number of a step.
        &[("SLURM_JOB_ID", "77"), ("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0"), ("SLURM_LOCALID", "0")],
        &[
            ("SLURM_NTASKS", "4"),
            ("SLURM_PROCID", "0"),
            ("SLURM_STEP_ID", "4294967291"),
            ("SLURM_STEP_NUM_TASKS", "4"),
        ],
        // srun of one process in an allocation of four.
        &[
            ("SLURM_NTASKS", "4"),
            ("SLURM_PROCID", "0"),
            ("SLURM_STEP_ID", "3"),
            ("SLURM_STEP_NUM_TASKS", "1"),
        ],
        // Addresses without numbers.
        &[("MASTER_ADDR", "node0"), ("MASTER_PORT", "29500"), ("LOCAL_RANK", "0")],
    ];
    for variables in alone {
        assert_eq!(with(variables), None, "{variables:?}");
    }
    // Whatever started it, one process may train alone.
    for variables in [OPEN_MPI, HYDRA, SRUN, TORCHRUN] {
        assert_eq!(try_with(variables, &options(None, Some(1), None)), Ok(None));
    }
}

#[test]
fn mpirun_inside_a_step_is_the_group() {
    let daemon = [OPEN_MPI, &[("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "2")]];
    let launch = with(&daemon.concat()).unwrap();
    assert_eq!((launch.launcher, launch.size), (Launcher::OpenMpi, 4));
    let repeated = [OPEN_MPI, &[("RANK", "2"), ("WORLD_SIZE", "4")]].concat();
    assert_eq!(with(&repeated).unwrap().launcher, Launcher::OpenMpi);
}

#[test]
fn options_make_a_group_and_master_alone_moves_a_launchers_to_tcp() {
    let launch = try_with(&[], &options(Some(1), Some(3), Some("node0:4000"))).unwrap().unwrap();
    assert_eq!((launch.rank, launch.size, launch.launcher), (1, 3, Launcher::Options));
    assert_eq!(launch.master.unwrap().to_string(), "node0:4000");
    let moved = try_with(SRUN, &options(None, None, Some("[::1]:4000"))).unwrap().unwrap();
    assert_eq!((moved.rank, moved.size, moved.launcher), (2, 4, Launcher::Slurm));
    assert_eq!(moved.master.unwrap().to_string(), "[::1]:4000");
}

/// Variables, options, and the words of the refusal.
type Case<'a> = (&'a [(&'a str, &'a str)], Options, &'a [&'a str]);

#[test]
fn what_is_half_set_wrong_or_contradictory_is_named() {
    let none = Options::default();
    let all = || options(Some(1), Some(3), Some("node0:4000"));
    let cases: &[Case<'_>] = &[
        (&[("OMPI_COMM_WORLD_RANK", "2")], none.clone(), &["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"]),
        (&[("PMI_SIZE", "2")], none.clone(), &["PMI_SIZE", "PMI_RANK is not"]),
        (&[("RANK", "1")], none.clone(), &["RANK is set (1)", "WORLD_SIZE is not"]),
        (&[("RANK", "1"), ("WORLD_SIZE", "2")], none.clone(), &["MASTER_ADDR", "--master"]),
        (&[("RANK", "4"), ("WORLD_SIZE", "4")], none.clone(), &["RANK = \"4\"", "from 0 to 3"]),
        (&[("RANK", "a"), ("WORLD_SIZE", "4")], none.clone(), &["RANK = \"a\""]),
        (&[("RANK", "-1"), ("WORLD_SIZE", "4")], none.clone(), &["RANK = \"-1\""]),
        (&[("PMI_RANK", "0"), ("PMI_SIZE", "99999999999999999999")], none.clone(), &["PMI_SIZE"]),
        (SRUN, none.clone(), &["srun --mpi=pmix", "--master", "--world 1"]),
        (&[], options(Some(1), None, None), &["--rank is set (1)", "--world is not"]),
        (&[], options(None, Some(4), None), &["--world", "--rank"]),
        (&[], options(Some(1), Some(4), None), &["--master"]),
        (&[], options(None, None, Some("node0:1")), &["--master is set", "--rank and --world"]),
        (&[], options(Some(3), Some(3), Some("node0:1")), &["--rank = \"3\"", "from 0 to 2"]),
        (&[], options(Some(0), Some(0), Some("node0:1")), &["--world"]),
        (&[], options(Some(0), Some(2), Some("node0")), &["--master", "HOST:PORT"]),
        (&[], options(Some(0), Some(2), Some("::1:4000")), &["--master", "HOST:PORT"]),
        (&[], options(Some(0), Some(2), Some("node0:99999")), &["--master", "HOST:PORT"]),
        (OPEN_MPI, all(), &["process 1 of 3", "process 2 of 4", "OMPI_COMM_WORLD_RANK"]),
    ];
    for (variables, options, parts) in cases {
        let error = try_with(variables, options).unwrap_err().to_string();
        for part in *parts {
            assert!(error.contains(part), "{part:?} is not in {error:?} ({variables:?}, {options:?})");
        }
    }
    let other = [OPEN_MPI, &[("RANK", "0"), ("WORLD_SIZE", "2")]].concat();
    let error = try_with(&other, &none).unwrap_err().to_string();
    assert!(error.contains("OMPI_COMM_WORLD_RANK") && error.contains("process 0 of 2"), "{error}");
}
