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
    let said = world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "3"]);
    assert!(said.contains("3 of 6 steps") && said.contains("without --steps"), "{said}");
    assert_eq!(world.steps("parts").len(), 3);
    let said = world.ok(&["train", "recipe.toml", "--out", "parts"]);
    assert!(said.contains("6 steps done"), "{said}");
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
    // Remembered hashes are no part of the run: files that have just been written are not remembered yet.
    let contents = || -> Vec<Vec<u8>> {
        let files = world.files("run").into_iter().filter(|file| !file.ends_with("file-hashes.json"));
        files.map(|file| world.bytes(&format!("run/{file}"))).collect()
    };
    let before = contents();
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
    assert_eq!(before, contents());
}

#[test]
fn model_and_dataset_may_move_but_another_model_is_refused() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "3"]);
    std::fs::rename(world.path("tiny"), world.path("moved")).unwrap();
    world.ok(&["init-model", "--preset", "tiny", "--seed", "99", "--out", "tiny"]);
    let error = world.fails(&["train", "recipe.toml", "--out", "parts"]);
    assert!(error.contains("tiny") && error.contains("started with"), "{error}");
    assert_eq!(world.steps("parts").len(), 3);
    world.recipe("recipe.toml", &[("model.path = \"tiny\"", "model.path = \"./moved\"")]);
    world.ok(&["train", "recipe.toml", "--out", "parts"]);
    assert_same_run(&world, "whole", "parts");
}

#[test]
fn another_schedule_and_other_files_of_the_same_names_are_noticed() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run", "--steps", "3"]);
    let edit = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, message: &str| {
        let before = world.bytes(file);
        std::fs::write(world.path(file), change(before.clone())).unwrap();
        let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
        assert!(error.contains(message), "{file}: {error}");
        std::fs::write(world.path(file), before).unwrap();
    };
    let other_betas = |text: Vec<u8>| {
        let text = String::from_utf8(text).unwrap();
        let changed = text.replace("\"beta_end\": 0.012", "\"beta_end\": 0.02");
        assert_ne!(text, changed);
        changed.into_bytes()
    };
    edit("tiny/scheduler/scheduler_config.json", &other_betas, "files of the model tiny");
    let other = world.bytes("people/images/00001.png");
    edit("people/images/00002.png", &|_| other.clone(), "the dataset");
    world.ok(&["train", "recipe.toml", "--out", "run"]);
}

#[test]
fn a_damaged_memory_of_hashes_is_made_again_and_the_run_goes_on() {
    let world = World::new(&[]);
    // Hashes of files that have just been written are not believed anyway.
    for file in world.files("tiny") {
        let file = std::fs::File::options().write(true).open(world.path("tiny").join(file)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    }
    world.ok(&["train", "recipe.toml", "--out", "run", "--steps", "1"]);
    let memory = world.path("run/cache/file-hashes.json");
    let text = std::fs::read_to_string(&memory).unwrap();
    let at = text.find("\"hash\":\"").unwrap() + "\"hash\":\"".len();
    let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
    std::fs::write(&memory, [&text[..at], other, &text[at + 1..]].concat()).unwrap();
    let output = world.run(&["train", "recipe.toml", "--out", "run", "--steps", "2"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.contains("file-hashes.json"), "{error}");
    assert_eq!(world.steps("run").len(), 2);
}

/// A pipe in a file's place would be waited for without end.
#[test]
#[cfg(unix)]
fn what_is_no_file_is_not_waited_for() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "5"]);
    let pipe = |file: &str| {
        let _ = std::fs::remove_file(world.path(file));
        assert!(std::process::Command::new("mkfifo").arg(world.path(file)).status().unwrap().success());
    };
    let newest = "parts/checkpoints/step-00000005.safetensors";
    pipe("parts/cache/file-hashes.json");
    pipe(newest);
    let mut command = world.command(&["train", "recipe.toml", "--out", "parts"]);
    command.timeout(std::time::Duration::from_secs(120)).assert().success();
    assert_same_run(&world, "whole", "parts");

    let _ = std::fs::remove_file(world.path(newest));
    let last = "checkpoints/step-00000006.safetensors";
    std::fs::remove_file(world.path("parts").join(last)).unwrap();
    std::os::unix::fs::symlink("nowhere", world.path("parts").join(last)).unwrap();
    let before = "checkpoints/step-00000004.safetensors";
    std::fs::copy(world.path("whole").join(before), world.path("parts").join(before)).unwrap();
    world.ok(&["train", "recipe.toml", "--out", "parts"]);
    assert_same_run(&world, "whole", "parts");
    for file in [".lock", "events.jsonl"] {
        pipe(&format!("parts/{file}"));
        let mut command = world.command(&["train", "recipe.toml", "--out", "parts"]);
        let assert = command.timeout(std::time::Duration::from_secs(120)).assert().code(1);
        let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(error.contains(file) && error.contains("no file"), "{error}");
        std::fs::remove_file(world.path(format!("parts/{file}"))).unwrap();
    }
}

#[test]
fn a_run_out_of_memory_may_go_on_with_recomputed_activations() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "3"]);
    world.recipe("recipe.toml", &[("batch = 2", "batch = 2\nactivation_checkpointing = true")]);
    world.ok(&["train", "recipe.toml", "--out", "parts"]);
    assert_same_run(&world, "whole", "parts");
}

/// Pictures are decoded when their step comes: one that is broken ends the run there and loses no step.
#[test]
fn steps_before_an_error_are_saved() {
    let world = World::new(&[("checkpoints = { every = 2, keep = 2 }", "checkpoints = { every = 500 }")]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    let steps = world.steps("whole");
    let early = |name: &String| steps[..2].iter().any(|step| step.samples.contains(name));
    let (step, name) = steps
        .iter()
        .flat_map(|step| step.samples.iter().map(|name| (step.step, name)))
        .find(|(_, name)| !early(name))
        .expect("a picture that comes later");
    let picture = world.path("people").join(name);
    let whole = std::fs::read(&picture).unwrap();
    let mut broken = whole.clone();
    let half = broken.len() / 2;
    broken[half..half + 64].fill(0);
    std::fs::write(&picture, broken).unwrap();
    let error = world.fails(&["train", "recipe.toml", "--out", "parts"]);
    assert!(error.contains(name.as_str()), "{error}");
    assert!(world.path(format!("parts/checkpoints/step-{:08}.safetensors", step - 1)).exists());
    std::fs::write(&picture, whole).unwrap();
    world.ok(&["train", "recipe.toml", "--out", "parts"]);
    assert_same_run(&world, "whole", "parts");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_used() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let newest = "run/checkpoints/step-00000006.safetensors";
    let whole = world.bytes(newest);
    let end = whole.len();
    let step = whole.windows(10).position(|w| w == b"\"step\":\"6\"").unwrap();
    let mut damages = vec![whole[..end / 2].to_vec(), whole.clone(), whole.clone(), whole];
    // A bit of a tensor; a block of zeros; the header's step.
    damages[1][end - 1] ^= 1;
    damages[2][end - 4096..].fill(0);
    damages[3][step + 8] = b'9';
    for bytes in damages {
        std::fs::write(world.path(newest), bytes).unwrap();
        let output = world.run(&["train", "recipe.toml", "--out", "run"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("step-00000006.safetensors") && said.contains("step 4"), "{said}");
        assert_same_run(&world, "whole", "run");
    }
    for file in world.files("run/checkpoints") {
        std::fs::write(world.path(format!("run/checkpoints/{file}")), b"damaged").unwrap();
    }
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("no checkpoint in run/checkpoints is whole"), "{error}");
}

/// As after Ctrl-C in the last validation: its event is missing, and the same command makes up for it.
#[test]
fn a_validation_that_was_interrupted_is_made_up_for() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let log = world.path("run/events.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let last =
        |line: &&str| !(line.contains("\"event\":\"validation\",\"step\":6") || line.contains("\"end\""));
    let kept: Vec<&str> = text.lines().filter(last).collect();
    assert!(kept.len() < text.lines().count() - 1);
    std::fs::write(&log, kept.join("\n") + "\n").unwrap();
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    assert_same_run(&world, "whole", "run");
    assert_eq!(world.validations("run"), world.validations("whole"));
}

#[test]
fn a_run_that_would_write_where_it_reads_is_refused_and_nothing_is_lost() {
    let world =
        World::new(&[("lora = { rank = 2, targets = [\"attention\", \"conv\"] }", "method = \"full\"")]);
    std::fs::create_dir(world.path("p")).unwrap();
    std::fs::rename(world.path("tiny"), world.path("p/model")).unwrap();
    world.recipe(
        "recipe.toml",
        &[
            ("lora = { rank = 2, targets = [\"attention\", \"conv\"] }", "method = \"full\""),
            ("model.path = \"tiny\"", "model.path = \"p/model\""),
        ],
    );
    let before = world.bytes("p/model/unet/diffusion_pytorch_model.safetensors");
    for (out, part) in
        [("p", "is the model"), ("p/model/run", "lies in the model"), ("people/run", "the dataset")]
    {
        let error = world.fails(&["train", "recipe.toml", "--out", out]);
        assert!(error.contains(part), "{out}: {error}");
    }
    std::fs::create_dir(world.path("own")).unwrap();
    let text = std::fs::read_to_string(world.path("recipe.toml")).unwrap();
    let text = text.replace("\"p/model\"", "\"../p/model\"").replace("\"people\"", "\"../people\"");
    std::fs::write(world.path("own/recipe.toml"), text).unwrap();
    let error = world.fails(&["train", "own/recipe.toml", "--out", "own"]);
    assert!(error.contains("is the recipe"), "{error}");
    assert_eq!(world.bytes("p/model/unet/diffusion_pytorch_model.safetensors"), before);
    std::fs::write(world.path("x.safetensors"), b"").unwrap();
    let error = world.fails(&["merge", "--model", "p/model", "--lora", "x.safetensors", "--out", "p/model"]);
    assert!(error.contains("is the model"), "{error}");
}

/// Such a path has no place in a recipe, which is what tells a run's own recipe from another.
#[cfg(unix)]
#[test]
fn paths_that_no_recipe_can_hold_are_refused() {
    use std::os::unix::ffi::OsStrExt;

    let world = World::new(&[]);
    let folder = world.path(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(world.path("recipe.toml"), folder.join("recipe.toml")).unwrap();
    for arguments in [vec![folder.join("recipe.toml")], vec!["recipe.toml".into(), "--out".into(), folder]] {
        let output = world.command(&["train"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("UTF-8"), "{output:?}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_the_signals_of_schedulers_save_and_leave_and_the_same_command_goes_on() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let world = World::new(&[("steps = 6", "steps = 1000000")]);
    for signal in ["-INT", "-TERM", "-HUP"] {
        stops_and_goes_on(&world, signal);
    }

    fn stops_and_goes_on(world: &World, signal: &str) {
        let run = &signal[1..];
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("fairhuman"))
            .current_dir(world.path(""))
            .args(["train", "recipe.toml", "--out", run])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = world.path(format!("{run}/events.jsonl"));
        let start = Instant::now();
        let stepped = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"event\":\"step\""));
        while !stepped() && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(130));

        let done = world.steps(run).len();
        assert!(done >= 1);
        assert!(world.path(format!("{run}/checkpoints/step-{done:08}.safetensors")).exists());
        assert!(world.path(format!("{run}/lora.safetensors")).exists());
        world.ok(&["train", "recipe.toml", "--out", run, "--steps", &(done + 1).to_string()]);
        assert_eq!(world.steps(run).len(), done + 1);
    }
}

#[test]
fn a_decay_that_followed_the_steps_is_told_what_to_write() {
    let world = World::new(&[("checkpoints =", "schedule.decay = \"cosine\"\ncheckpoints =")]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let longer =
        [("steps = 6", "steps = 8"), ("checkpoints =", "schedule.decay = \"cosine\"\ncheckpoints =")];
    world.recipe("longer.toml", &longer);
    let error = world.fails(&["train", "longer.toml", "--out", "run"]);
    assert!(error.contains("schedule.decay_steps: 6 -> 8"), "{error}");
    assert!(error.contains("write decay_steps = 6 in [schedule]"), "{error}");
    assert!(!error.contains("put the values back"), "{error}");
    // That is what goes on.
    let decay = "schedule = { decay = \"cosine\", decay_steps = 6 }\ncheckpoints =";
    world.recipe("longer.toml", &[("steps = 6", "steps = 8"), ("checkpoints =", decay)]);
    let output = world.run(&["train", "longer.toml", "--out", "run"]);
    assert_eq!(world.steps("run").len(), 8);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the rate is 0 after step 6"), "{said}");
    // So it is with --steps beyond the recipe's own.
    let output = world.run(&["train", "recipe.toml", "--out", "beyond", "--steps", "7"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("up to step 7, changes nothing"), "{said}");
    // Other values are to be put back, too.
    let both = [
        ("steps = 6", "steps = 9"),
        ("checkpoints =", decay),
        ("learning_rate = 1e-3", "learning_rate = 1e-2"),
    ];
    world.recipe("other.toml", &both);
    let error = world.fails(&["train", "other.toml", "--out", "run"]);
    assert!(error.contains("put the values back to go on"), "{error}");
}

/// Nor is a list or a file of prompts that is none.
#[test]
#[cfg(unix)]
fn commands_do_not_wait_for_what_is_no_file() {
    let world = World::new(&[]);
    let list = world.path("people/metadata.jsonl");
    std::fs::remove_file(&list).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&list).status().unwrap().success());
    let sample = ["sample", "--model", "tiny", "--out", "pictures", "--prompts", "/dev/zero"];
    for arguments in [&["check", "recipe.toml"][..], &["train", "recipe.toml"], &sample] {
        let mut command = world.command(arguments);
        let assert = command.timeout(std::time::Duration::from_secs(120)).assert().code(1);
        let output = assert.get_output();
        let said = [&output.stdout[..], &output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("no file"), "{arguments:?}");
    }
}

/// The recipe that a run has written goes on with it, and repeats it in another folder.
#[test]
fn a_runs_own_recipe_is_one_to_train_with() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "3"]);
    for run in ["parts", "whole"] {
        world.ok(&["check", &format!("{run}/recipe.toml")]);
    }
    world.ok(&["train", "parts/recipe.toml"]);
    assert_same_run(&world, "whole", "parts");
    assert_eq!(world.files("parts"), world.files("whole"));
    world.ok(&["train", "whole/recipe.toml", "--out", "again"]);
    assert_same_run(&world, "whole", "again");
    let error = world.fails(&["train", "parts"]);
    assert!(error.contains("parts/recipe.toml"), "{error}");
}
