//! Training in several processes: the files of one process, and no process that waits for a dead one.
//!
//! By MPI where there is an `mpirun`, or `FAIRHUMAN_MPIRUN` names one; over TCP everywhere.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fairhuman_train::recorded::read_tensors;

use crate::world::World;

/// A step of two samples as two micro-batches, which one process makes one after the other.
const DEALT: &[(&str, &str)] = &[("steps = 6", "steps = 12"), ("batch = 2", "batch = 1\naccumulation = 2")];
/// Time in which the others end after a process is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command of the program without a launcher's variables.
fn fairhuman(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("fairhuman"));
    command.current_dir(world.path("")).env("XDG_CACHE_HOME", world.path("user-cache")).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `fairhuman train` as one process of several, over TCP.
fn train(world: &World, out: &str, rank: usize, world_size: usize, port: u16) -> Command {
    let (rank, size) = (rank.to_string(), world_size.to_string());
    let master = format!("127.0.0.1:{port}");
    let options = ["--rank", &rank, "--world", &size, "--master", &master, "--threads", "1"];
    let mut command = fairhuman(world, &["train", "recipe.toml", "--out", out]);
    command.args(options);
    command
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs all processes of a group over TCP; their output in the order of the ranks.
fn over_tcp(world: &World, out: &str, size: usize) -> Vec<Output> {
    let port = free_port();
    let ranks: Vec<Child> =
        (0..size).map(|rank| train(world, out, rank, size, port).spawn().unwrap()).collect();
    ranks.into_iter().map(|rank| rank.wait_with_output().unwrap()).collect()
}

/// A launcher of Open MPI; none where this machine has none, which is said.
fn mpirun() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("FAIRHUMAN_MPIRUN") {
        return Some(named.into());
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let names = ["mpirun.openmpi", "mpirun"];
    let mut files = std::env::split_paths(&paths).flat_map(|path| names.map(|name| path.join(name)));
    let found = files.find(|file| file.is_file());
    if found.is_none() {
        eprintln!("left out: no mpirun (Debian: openmpi-bin), and FAIRHUMAN_MPIRUN names none");
    }
    found
}

fn over_mpi(world: &World, mpirun: &PathBuf, size: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new(mpirun);
    // Open MPI's: root in a container, and more processes than cores.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
    command.args(["-n", &size.to_string()]).arg(assert_cmd::cargo::cargo_bin("fairhuman")).args(arguments);
    command.current_dir(world.path("")).env("XDG_CACHE_HOME", world.path("user-cache"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The LoRA files of two runs, whose values differ by `most` at most.
fn assert_close(world: &World, a: &str, b: &str, most: f32) {
    let read = |run: &str| read_tensors(&world.path(run).join("lora.safetensors")).unwrap().tensors;
    let (a, b) = (read(a), read(b));
    assert_eq!(a.len(), b.len());
    for ((name, a), (other, b)) in a.iter().zip(&b) {
        assert_eq!((name, &a.shape), (other, &b.shape));
        let differences = a.to_f32().into_iter().zip(b.to_f32()).map(|(a, b)| (a - b).abs());
        assert!(differences.fold(0.0, f32::max) <= most, "{name}");
    }
}

/// The files of two runs have the same values.
fn assert_same(world: &World, a: &str, b: &str) {
    assert_close(world, a, b, 0.0);
    let last = |run: &str| world.path(run).join("checkpoints/step-00000012.safetensors");
    assert_eq!(read_tensors(&last(a)).unwrap().tensors, read_tensors(&last(b)).unwrap().tensors);
    assert_eq!(world.steps(a), world.steps(b));
}

#[test]
fn two_and_three_processes_over_tcp_leave_the_files_of_one() {
    let world = World::new(&[("steps = 6", "steps = 12"), ("batch = 2", "batch = 1\naccumulation = 6")]);
    world.ok(&["train", "recipe.toml", "--out", "one"]);
    for (size, out) in [(2, "two"), (3, "three")] {
        let outputs = over_tcp(&world, out, size);
        for output in &outputs {
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        // The samples are added in another order, and AdamW makes more of the difference: of steps of 1e-3.
        assert_close(&world, "one", out, 1e-5);
        assert_eq!(world.files("one/checkpoints"), world.files(&format!("{out}/checkpoints")));
        let said = text(&outputs[0].stdout);
        assert!(
            said.contains(&format!(
                "{size} processes by --rank, --world and --master, over TCP; 1 thread each"
            )),
            "{said}"
        );
        // The others have no screen.
        for other in &outputs[1..] {
            assert_eq!((text(&other.stdout), text(&other.stderr)), (String::new(), String::new()));
        }
    }
}

#[test]
fn two_processes_over_mpi_leave_the_files_of_one() {
    let Some(mpirun) = mpirun() else { return };
    let world = World::new(DEALT);
    world.ok(&["train", "recipe.toml", "--out", "one"]);
    let output = over_mpi(&world, &mpirun, 2, &["train", "recipe.toml", "--out", "two"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_close(&world, "one", "two", 1e-6);
    let said = text(&output.stdout);
    assert!(said.contains("2 processes by mpi") && said.contains("over "), "{said}");
    assert_eq!(said.matches("steps done in").count(), 1, "{said}");
}

/// Waits until a run has made a step.
fn wait_for_step(world: &World, run: &str, step: u64, child: &mut Child) {
    let log = world.path(run).join("events.jsonl");
    let begin = Instant::now();
    let words = format!("\"event\":\"step\",\"step\":{step},");
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains(&words)) {
        assert!(begin.elapsed() < Duration::from_secs(120), "step {step} was never made");
        if let Some(status) = child.try_wait().unwrap() {
            panic!("ended before step {step}: {status}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The output of a process that has to end soon.
fn output_soon(mut child: Child) -> Output {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!(
                "waits although another process is gone: {}",
                text(&child.wait_with_output().unwrap().stderr)
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_killed_process_ends_the_others_with_its_name_and_the_same_command_goes_on() {
    let world = World::new(DEALT);
    for output in over_tcp(&world, "whole", 2) {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    for (victim, moments) in [(1, vec![1, 4, 9]), (0, vec![5])] {
        let run = format!("killed-{victim}");
        for step in moments {
            let port = free_port();
            let mut ranks: Vec<Child> =
                (0..2).map(|rank| train(&world, &run, rank, 2, port).spawn().unwrap()).collect();
            wait_for_step(&world, &run, step, &mut ranks[0]);
            let mut killed = ranks.remove(victim);
            killed.kill().unwrap();
            let output = output_soon(ranks.remove(0));
            assert_eq!(output.status.code(), Some(1));
            let (said, process) = (text(&output.stderr), killed.id());
            assert!(
                said.contains(&format!("rank {victim} (")) && said.contains(&format!("process {process})")),
                "{said}"
            );
            killed.wait().unwrap();
        }
        for output in over_tcp(&world, &run, 2) {
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        assert_same(&world, "whole", &run);
    }
}

/// The number of the process of a rank below `parent`, by its environment.
#[cfg(target_os = "linux")]
fn process_of_rank(parent: u32, rank: usize) -> u32 {
    let begin = Instant::now();
    let words = format!("OMPI_COMM_WORLD_RANK={rank}");
    while begin.elapsed() < Duration::from_secs(60) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            let is_child = read("status").lines().any(|line| line == format!("PPid:\t{parent}"));
            if is_child && read("environ").split('\0').any(|variable| variable == words) {
                return id;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no process of rank {rank}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_process_of_mpirun_is_named_and_the_same_command_goes_on() {
    let Some(mpirun) = mpirun() else { return };
    let version = text(&Command::new(&mpirun).arg("--version").output().unwrap().stdout);
    if version.contains("HYDRA") {
        return eprintln!("left out: ranks are found by the variables of Open MPI's mpirun");
    }
    let world = World::new(DEALT);
    let arguments = |run| ["train", "recipe.toml", "--out", run];
    let whole = over_mpi(&world, &mpirun, 2, &arguments("whole")).output().unwrap();
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    for step in [1, 4, 9] {
        let mut group = over_mpi(&world, &mpirun, 2, &arguments("killed")).spawn().unwrap();
        let victim = process_of_rank(group.id(), 1);
        wait_for_step(&world, "killed", step, &mut group);
        assert!(Command::new("kill").args(["-9", &victim.to_string()]).status().unwrap().success());
        let output = output_soon(group);
        assert!(!output.status.success());
        let said = text(&output.stderr);
        assert!(said.contains("rank 1 (") && said.contains(&format!("process {victim}) is gone")), "{said}");
    }
    let output = over_mpi(&world, &mpirun, 2, &arguments("killed")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_same(&world, "whole", "killed");
}

#[test]
fn an_error_of_one_process_is_told_once_with_its_name() {
    let world = World::new(DEALT);
    let (port, elsewhere) = (free_port(), World::empty());
    let mut first = train(&world, "run", 0, 2, port).spawn().unwrap();
    // In a folder without the recipe.
    let second = train(&elsewhere, "run", 1, 2, port).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(said.starts_with("rank 1: error: ") && said.contains("recipe.toml"), "{said}");
    assert_eq!(first.wait().unwrap().code(), Some(1));
    let said = text(&first.wait_with_output().unwrap().stderr);
    assert!(said.contains("error: ") && said.contains("rank 1 (") && said.contains("recipe.toml"), "{said}");

    let Some(mpirun) = mpirun() else { return };
    std::fs::rename(world.path("recipe.toml"), world.path("other.toml")).unwrap();
    let output = over_mpi(&world, &mpirun, 2, &["train", "recipe.toml"]).output().unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
}

#[cfg(unix)]
#[test]
fn a_process_that_waits_for_the_others_says_for_whom_and_ends_at_a_signal() {
    use std::io::Read;

    let world = World::empty();
    let alone =
        [(0, "for 2 of 2 other processes: ranks 1, 2; "), (1, "rank 1: warning: waits for rank 0 at ")];
    let start = |(rank, words)| (train(&world, "run", rank, 3, free_port()).spawn().unwrap(), words);
    for (mut child, words) in alone.map(start) {
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let (mut line, mut rest) = (String::new(), String::new());
        said.read_line(&mut line).unwrap();
        assert!(line.contains(words) && line.contains("gives up in 1"), "{line}");
        let begin = Instant::now();
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(begin.elapsed() < Duration::from_secs(10));
        said.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("interrupted"), "{rest}");
    }
}

#[test]
fn rank_0_is_named_on_one_screen_when_it_is_killed_before_all_are_there() {
    let world = World::empty();
    let port = free_port().to_string();
    let start = |rank| {
        let mut command = fairhuman(&world, &["train", "recipe.toml"]);
        command.env("RANK", rank).env("WORLD_SIZE", "3");
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", &port).spawn().unwrap()
    };
    let (mut zero, one) = (start("0"), start("1"));
    let mut line = String::new();
    BufReader::new(zero.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("for 1 of 2 other processes: rank 2; "), "{line}");
    zero.kill().unwrap();
    zero.wait().unwrap();
    let output = output_soon(one);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("rank 1: error: rank 0 (") && said.contains(&format!("process {})", zero.id())),
        "{said}"
    );
}

#[test]
fn options_that_make_no_group_are_refused_and_a_world_of_one_trains_alone() {
    let world = World::new(DEALT);
    for (options, part) in [
        (&["--rank", "1"][..], "--world is not"),
        (&["--rank", "2", "--world", "2", "--master", "here:1"], "expected a number from 0 to 1"),
        (&["--rank", "0", "--world", "2", "--master", "here"], "HOST:PORT"),
        (
            &["--rank", "0", "--world", "2", "--master", "127.0.0.1:1", "--dry-run"],
            "--dry-run is for one process",
        ),
    ] {
        let error = world.fails(&[&["train", "recipe.toml"], options].concat());
        assert!(error.contains(part), "{options:?}: {error}");
    }
    world.ok(&["train", "recipe.toml", "--steps", "1", "--world", "1"]);
    let mut half = fairhuman(&world, &["train", "recipe.toml"]);
    let output = half.env("OMPI_COMM_WORLD_RANK", "0").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("OMPI_COMM_WORLD_SIZE is not"), "{}", text(&output.stderr));
}

#[test]
fn commands_for_one_process_are_refused_in_several() {
    let world = World::empty();
    let copies = |rank: &str, arguments: &[&str]| {
        let mut command = fairhuman(&world, arguments);
        command.env("OMPI_COMM_WORLD_RANK", rank).env("OMPI_COMM_WORLD_SIZE", "4").output().unwrap()
    };
    let people = ["people", "--count", "2", "--size", "64", "--out", "people"];
    let first = copies("0", &people);
    assert_eq!(first.status.code(), Some(1));
    let said = text(&first.stderr);
    assert!(said.contains("mpirun started 4") && said.contains("env -u OMPI_COMM_WORLD_RANK"), "{said}");
    let second = copies("1", &people);
    assert_eq!((second.status.code(), text(&second.stderr)), (Some(1), String::new()));
    assert!(!world.path("people").exists());
    assert!(copies("0", &["schema"]).status.success());
}

#[test]
fn a_process_with_another_dataset_or_recipe_is_refused_by_name() {
    let (world, other) = (World::new(DEALT), World::new(DEALT));
    let list = other.path("people/metadata.jsonl");
    let text_of_list = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text_of_list.split_once('\n').unwrap().1).unwrap();
    let together = |part: &str| {
        let port = free_port();
        let first = train(&world, "run", 0, 2, port).spawn().unwrap();
        let second = train(&other, "run", 1, 2, port).spawn().unwrap();
        for child in [first, second] {
            let output = output_soon(child);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("rank 1") && said.contains(part), "{said}");
        }
        assert!(!world.path("run/checkpoints").exists());
    };
    together("dataset");
    std::fs::write(&list, text_of_list).unwrap();
    other.recipe("recipe.toml", &[DEALT, &[("learning_rate = 1e-3", "learning_rate = 2e-3")]].concat());
    together("optimizer.learning_rate: 0.001 -> 0.002");
}
