//! The same exchanges over MPI, by the launchers that are installed.

use std::path::PathBuf;
use std::process::Command;

use fairhuman_processes::launch::detect;
use fairhuman_processes::{Options, Processes};

use crate::together::settings;

/// Not a test of its own: the process that mpirun starts.
#[test]
fn child() {
    if std::env::var_os("FAIRHUMAN_TEST_MPI").is_none() {
        return;
    }
    let launch = detect(&|name| std::env::var(name).ok(), &Options::default()).unwrap().expect("a group");
    let group = Processes::join(&launch, &settings().0).unwrap();
    crate::exchanges::check(&group);
    println!("rank {} of {} by {}", group.rank(), group.size(), group.about());
    group.end().unwrap();
}

/// `$FAIRHUMAN_MPIRUN`, or the launchers that are found.
fn launchers() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("FAIRHUMAN_MPIRUN") {
        return vec![named.into()];
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let find =
        |name: &str| std::env::split_paths(&paths).map(|path| path.join(name)).find(|file| file.is_file());
    let mut found: Vec<PathBuf> =
        ["mpirun.openmpi", "mpirun.mpich"].iter().filter_map(|name| find(name)).collect();
    if found.is_empty() {
        found.extend(find("mpirun"));
    }
    found
}

#[test]
fn sums_shares_numbers_and_bytes_over_mpi() {
    let launchers = launchers();
    if launchers.is_empty() {
        eprintln!("left out: no mpirun (Debian: openmpi-bin), and FAIRHUMAN_MPIRUN names none");
    }
    for mpirun in launchers {
        for size in [2, 4] {
            let mut command = Command::new(&mpirun);
            // Open MPI's: root in a container, and more processes than cores.
            command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
            command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
            command.args(["-n", &size.to_string()]).arg(std::env::current_exe().unwrap());
            command.args(["--exact", "mpi::child", "--nocapture"]).env("FAIRHUMAN_TEST_MPI", "1");
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}{error}", mpirun.display());
            assert_eq!(said.matches(&format!("of {size} by ")).count(), size, "{said}");
        }
    }
}
