//! Named pipes and devices where a file is expected: told at once, by every command; none waits for ever or
//! reads without end.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::World;

/// Longest time that a command may take to say so.
const PATIENCE: Duration = Duration::from_secs(60);

fn pipe(world: &World, name: &str) {
    assert!(Command::new("mkfifo").arg(world.path(name)).status().unwrap().success());
}

fn start(world: &World, arguments: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("fairhuman"));
    command.current_dir(world.path("")).env("XDG_CACHE_HOME", world.path("user-cache")).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs a command that has to end by itself; true if it succeeded, and its message.
fn ends(world: &World, arguments: &[&str]) -> (bool, String) {
    let mut child = start(world, arguments);
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{arguments:?} waits");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn pipes_and_devices_are_told_wherever_a_file_is_expected() {
    let world = World::new(&[]);
    pipe(&world, "pipe");
    pipe(&world, "pipe.toml");
    pipe(&world, "pipe.html");
    std::os::unix::fs::symlink("/dev/zero", world.path("zero.safetensors")).unwrap();
    for arguments in [
        &["train", "pipe.toml"][..],
        &["check", "people", "--html", "pipe.html"],
        &["init", "people", "--recipe", "pipe.toml"],
        &[
            "sample",
            "--model",
            "tiny",
            "--prompt",
            "x",
            "--out",
            "o",
            "--init",
            "people/images/00000.png",
            "--mask",
            "pipe",
        ],
        &["sample", "--model", "tiny", "--prompt", "x", "--out", "o", "--lora", "zero.safetensors"],
        &["refine", "people/images", "--model", "tiny", "--out", "o", "--regions", "pipe"],
        &["replay", "--model", "tiny", "--inputs", "zero.safetensors", "--outputs", "o.safetensors"],
    ] {
        let (success, said) = ends(&world, arguments);
        assert!(!success && said.contains("pipe") | said.contains("zero"), "{arguments:?}: {said}");
    }
}

#[test]
fn pipes_in_the_folders_of_models_and_photographs_are_told() {
    let world = World::new(&[]);
    for file in
        ["model_index.json", "unet/config.json", "tokenizer/vocab.json", "scheduler/scheduler_config.json"]
    {
        let path = format!("tiny/{file}");
        let kept = world.bytes(&path);
        std::fs::remove_file(world.path(&path)).unwrap();
        pipe(&world, &path);
        let (success, said) = ends(&world, &["sample", "--model", "tiny", "--prompt", "x", "--out", "o"]);
        let name = file.rsplit('/').next().unwrap();
        assert!(!success && said.contains(name), "{file}: {said}");
        std::fs::remove_file(world.path(&path)).unwrap();
        std::fs::write(world.path(&path), kept).unwrap();
    }
    std::fs::create_dir(world.path("photos")).unwrap();
    std::fs::copy(world.path("people/images/00000.png"), world.path("photos/a.png")).unwrap();
    pipe(&world, "photos/b.png");
    let masks = ["--masks", "people/masks/face"];
    let (_, said) = ends(
        &world,
        &[&["refine", "photos", "--model", "tiny", "--steps", "1", "--out", "o"], &masks[..]].concat(),
    );
    assert!(said.contains("b.png"), "{said}");
}

#[test]
fn signals_end_commands_that_save_nothing_with_a_word_and_130() {
    let world = World::empty();
    let mut child = start(&world, &["people", "--count", "100000", "--size", "256", "--out", "people"]);
    while !world.path("people/images").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_file_in_the_place_of_a_folder_is_named_before_anything_is_computed() {
    let world = World::new(&[("steps = 6", "steps = 1\ncache = \"cache\"")]);
    std::fs::write(world.path("cache"), "x").unwrap();
    for command in ["train", "check"] {
        let error = world.fails(&[command, "recipe.toml"]);
        assert!(
            error.contains("cache is a file, where a folder should be: move it away"),
            "{command}: {error}"
        );
    }
    assert!(!world.path("runs").join("recipe/events.jsonl").exists());
    std::fs::remove_file(world.path("cache")).unwrap();
    let _ = std::fs::remove_dir_all(world.path("runs"));
    std::fs::write(world.path("runs"), "x").unwrap();
    for command in ["train", "check"] {
        let error = world.fails(&[command, "recipe.toml"]);
        assert!(error.contains("runs is a file, where a folder should be"), "{command}: {error}");
    }
    let error = world.fails(&["people", "--count", "1", "--out", "runs/people"]);
    assert!(error.contains("runs is a file"), "{error}");
}
