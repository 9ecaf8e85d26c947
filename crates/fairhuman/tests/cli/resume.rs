//! The same command again: bit for bit what an uninterrupted run gives, or an error that says what differs.

use crate::world::World;

/// Checkpoint of step 6, LoRA file and steps are equal.
fn assert_same_run(world: &World, a: &str, b: &str) {
    for file in ["checkpoints/step-00000006.safetensors", "lora.safetensors"] {
        let read =
            |run: &str| fairhuman_train::recorded::read_tensors(&world.path(run).join(file)).unwrap().tensors;
        assert_eq!(read(a), read(b), "{file}");
    }
    assert_eq!(world.steps(a), world.steps(b));
    let last = |run: &str| world.validations(run).pop();
    assert_eq!(last(a), last(b));
}

#[test]
fn three_and_three_steps_are_six_steps_bit_for_bit() {
    let world = World::new(&[(
        "checkpoints = { every = 2, keep = 2 }",
        "schedule = { decay = \"cosine\", warmup = 2 }",
    )]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "3"]);
    assert_eq!(world.steps("parts").len(), 3);
    world.ok(&["train", "recipe.toml", "--out", "parts"]);
    assert_same_run(&world, "whole", "parts");
}

#[test]
fn a_crash_after_a_checkpoint_loses_only_what_came_later() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "recipe.toml", "--out", "crashed"]);
    // As if the process had died in step 6: half a line, half a checkpoint, no later checkpoint.
    std::fs::remove_file(world.path("crashed/checkpoints/step-00000006.safetensors")).unwrap();
    std::fs::write(world.path("crashed/checkpoints/.step-00000006.safetensors.1.tmp"), b"half").unwrap();
    let mut log = world.bytes("crashed/events.jsonl");
    log.truncate(log.len() - 20);
    std::fs::write(world.path("crashed/events.jsonl"), log).unwrap();
    world.ok(&["train", "recipe.toml", "--out", "crashed"]);
    assert_same_run(&world, "whole", "crashed");
}

#[test]
fn steps_may_grow_and_a_finished_run_does_nothing_more() {
    let world = World::new(&[("steps = 6", "steps = 3")]);
    world.ok(&["train", "recipe.toml", "--out", "grown"]);
    world.ok(&["train", "recipe.toml", "--out", "grown"]);
    assert_eq!(world.steps("grown").len(), 3);
    world.recipe("recipe.toml", &[]);
    world.ok(&["train", "recipe.toml", "--out", "grown"]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    assert_same_run(&world, "whole", "grown");
}

#[test]
fn another_recipe_or_dataset_is_refused_by_key_and_changes_nothing() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run", "--steps", "2"]);
    let before: Vec<Vec<u8>> = world.files("run").iter().map(|f| world.bytes(&format!("run/{f}"))).collect();
    world
        .recipe("recipe.toml", &[("rank = 2", "rank = 4"), ("learning_rate = 1e-3", "learning_rate = 2e-3")]);
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    for part in ["lora.rank: 2 -> 4", "optimizer.learning_rate: 0.001 -> 0.002", "--out"] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }

    world.recipe("recipe.toml", &[]);
    let list = world.path("people/metadata.jsonl");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.split_once('\n').unwrap().1).unwrap();
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("dataset") && error.contains("--out"), "{error}");
    let after: Vec<Vec<u8>> = world.files("run").iter().map(|f| world.bytes(&format!("run/{f}"))).collect();
    assert_eq!(before, after);
}

#[test]
fn a_damaged_checkpoint_is_named_and_not_passed_over_in_silence() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let newest = "run/checkpoints/step-00000006.safetensors";
    let half = world.bytes(newest).len() / 2;
    std::fs::write(world.path(newest), &world.bytes(newest)[..half]).unwrap();
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("step-00000006.safetensors"), "{error}");
    // Without it the run goes on from the one before.
    std::fs::remove_file(world.path(newest)).unwrap();
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    assert_same_run(&world, "whole", "run");
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_leaves_and_the_same_command_goes_on() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let world = World::new(&[("steps = 6", "steps = 1000000")]);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("fairhuman"))
        .current_dir(world.path(""))
        .args(["train", "recipe.toml", "--out", "run"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let log = world.path("run/events.jsonl");
    let start = Instant::now();
    let stepped = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"event\":\"step\""));
    while !stepped() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));

    let done = world.steps("run").len();
    assert!(done >= 1);
    assert!(world.path(format!("run/checkpoints/step-{done:08}.safetensors")).exists());
    assert!(world.path("run/lora.safetensors").exists());
    world.ok(&["train", "recipe.toml", "--out", "run", "--steps", &(done + 1).to_string()]);
    assert_eq!(world.steps("run").len(), done + 1);
}
