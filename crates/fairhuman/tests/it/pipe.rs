//! Whoever reads the output may leave early.

#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

#[cfg(target_os = "linux")]
use fairhuman_train::recorded::read_tensors;

#[cfg(target_os = "linux")]
use crate::world::World;

#[test]
fn a_reader_that_leaves_makes_the_command_an_error_and_not_a_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairhuman"));
    let output = command.arg("version").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("error: standard output was lost"), "{said}");
}

/// `train r.toml 2>&1 | tee log` and Ctrl-C: tee dies first. And a full disk behind both outputs.
#[test]
#[cfg(target_os = "linux")]
fn training_outlives_its_screen() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut gone = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = gone.stdin.take().unwrap();
    gone.wait().unwrap();
    for (name, out, err) in [
        ("piped", Stdio::from(pipe.as_fd().try_clone_to_owned().unwrap()), Stdio::from(OwnedFd::from(pipe))),
        ("full", Stdio::from(full()), Stdio::from(full())),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairhuman"));
        command.current_dir(world.path("")).args(["train", "recipe.toml", "--out", name]);
        let status = command.stdout(out).stderr(err).status().unwrap();
        assert_eq!(status.code(), Some(0), "{name}");
        let learnt = |run: &str| read_tensors(&world.path(run).join("lora.safetensors")).unwrap().tensors;
        assert!(learnt(name) == learnt("whole"), "{name}: another LoRA");
    }
}
