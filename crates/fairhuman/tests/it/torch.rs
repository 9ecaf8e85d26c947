//! Commands with libtorch, on its CPU device: the numbers of the CPU's own kernels but for rounding. Where no
//! libtorch is found these tests say that they were left out; without one, an error says what to do.

use std::path::Path;

use fairhuman_train::events::Event;
use fairhuman_train::recorded::{TensorFile, read_tensors};

use crate::world::World;

/// True if this machine has a libtorch; says so if not.
fn libtorch(world: &World) -> bool {
    let version = world.ok(&["version"]);
    let line = version.lines().find_map(|line| line.strip_prefix("libtorch: ")).unwrap();
    let required = std::env::var_os("FAIRHUMAN_LIBTORCH").is_some();
    assert!(!(required && line.starts_with("none")), "{line}");
    if line.starts_with("none") {
        eprintln!("left out: {line}");
    }
    !line.starts_with("none")
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// The largest difference of a tensor, as a share of its norm.
fn largest_difference(found: &TensorFile, expected: &TensorFile) -> f64 {
    assert!(found.tensors.keys().eq(expected.tensors.keys()));
    let of = |(name, tensor): (&String, &fairhuman_train::recorded::Tensor)| {
        let (x, y) = (tensor.to_f32(), found.tensors[name].to_f32());
        let size = norm(x.iter().map(|&v| v.into()));
        norm(x.iter().zip(&y).map(|(a, b)| f64::from(a - b))) / size.max(1e-30)
    };
    expected.tensors.iter().map(of).fold(0.0, f64::max)
}

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_golden_step_agrees_with_pytorch_in_both_precisions() {
    let world = World::empty();
    if !libtorch(&world) {
        return;
    }
    let expected = read_tensors(Path::new(&golden("expected.safetensors"))).unwrap();
    let (model, inputs) = (golden("model"), golden("inputs.safetensors"));
    let replay =
        ["replay", "--model", &model, "--inputs", &inputs, "--outputs", "o", "--device", "torch-cpu"];
    for extra in [&[][..], &["--checkpointing"], &["--threads", "1"]] {
        world.ok(&[&replay, extra].concat());
        let difference = largest_difference(&read_tensors(&world.path("o")).unwrap(), &expected);
        assert!(difference < 1e-4, "{extra:?}: {difference}");
    }
    world.ok(&[&replay[..], &["--precision", "bf16"]].concat());
    let found = read_tensors(&world.path("o")).unwrap();
    let losses = |file: &TensorFile| file.tensors["losses"].to_f32();
    for (found, expected) in losses(&found).iter().zip(losses(&expected)) {
        assert!((found - expected).abs() <= 1e-2 * expected.abs(), "{found} {expected}");
    }
}

#[test]
fn recorded_steps_of_all_methods_replay() {
    let world = World::new(&[]);
    if !libtorch(&world) {
        return;
    }
    world.ok(&["control", "people"]);
    for method in ["lora", "controlnet", "t2i-adapter"] {
        if method != "lora" {
            let table = format!("method = \"{method}\"");
            world.recipe(
                "recipe.toml",
                &[
                    ("lora = { rank = 2, targets = [\"attention\", \"conv\"] }", &table),
                    ("flip = 0.5 }", "flip = 0.0 }"),
                    (
                        "dataset.path = \"people\"",
                        "dataset.path = \"people\"\ndataset.conditioning = \"conditioning_image\"",
                    ),
                ],
            );
        }
        world.ok(&["train", "recipe.toml", "--out", method, "--record", "3", "--steps", "3"]);
        let step = format!("{method}/record/step-00000003");
        let (inputs, control) = (format!("{step}/inputs.safetensors"), format!("{step}/control"));
        let mut replay = vec!["replay", "--model", "tiny", "--inputs", &inputs, "--outputs", "o"];
        replay.extend(["--device", "torch-cpu"]);
        if method != "lora" {
            replay.extend(["--control", &control]);
        }
        world.ok(&replay);
        let expected = read_tensors(&world.path(format!("{step}/expected.safetensors"))).unwrap();
        let difference = largest_difference(&read_tensors(&world.path("o")).unwrap(), &expected);
        assert!(difference < 1e-3, "{method}: {difference}");
    }
}

#[test]
fn training_validation_and_samples_run_and_a_run_may_move_between_devices() {
    let world = World::new(&[(
        "checkpoints = { every = 2, keep = 2 }",
        "samples = { prompts = [\"a woman\"], every = 3, steps = 2, width = 64, height = 64 }",
    )]);
    if !libtorch(&world) {
        return;
    }
    world.ok(&["train", "recipe.toml", "--out", "cpu"]);
    world.ok(&["train", "recipe.toml", "--out", "torch", "--device", "torch-cpu"]);
    world.ok(&["train", "recipe.toml", "--out", "both", "--steps", "3"]);
    world.ok(&["train", "recipe.toml", "--out", "both", "--device", "torch-cpu"]);
    let last = |run: &str| world.validations(run).pop().unwrap().losses;
    for run in ["torch", "both"] {
        for (found, expected) in last(run).iter().zip(last("cpu")) {
            assert!((found / expected - 1.0).abs() < 1e-3, "{run}: {found} {expected}");
        }
        assert!(world.path(run).join("samples/step-00000006/0.png").is_file());
    }
    let events = world.events("both");
    let starts: Vec<_> =
        events.iter().filter_map(|e| if let Event::Start(start) = e { Some(start) } else { None }).collect();
    let [before, after] = starts.as_slice() else { panic!("{} starts", starts.len()) };
    assert!(before.notes.iter().all(|note| !note.starts_with("device:")), "{:?}", before.notes);
    let note = "device: cpu up to step 3, torch-cpu from then on";
    assert!(after.notes.iter().any(|found| found.starts_with(note)), "{:?}", after.notes);
    assert!(after.machine.contains("torch-cpu by libtorch"), "{}", after.machine);
}

/// The recipe of the first steps, with smaller pictures and batches.
#[test]
fn a_hundred_steps_of_the_smoke_recipe_end_at_the_losses_of_the_cpu() {
    let world = World::empty();
    if !libtorch(&world) {
        return;
    }
    world.ok(&["people", "--count", "30", "--size", "64", "--out", "data/people"]);
    world.ok(&["init-model", "--preset", "tiny", "--out", "models/tiny"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/smoke.toml");
    let mut text = std::fs::read_to_string(path).unwrap();
    for (from, to) in [
        ("steps = 150", "steps = 100"),
        ("batch = 4", "batch = 2"),
        ("width = 128", "width = 64"),
        ("height = 128", "height = 64"),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    std::fs::create_dir(world.path("recipes")).unwrap();
    std::fs::write(world.path("recipes/smoke.toml"), text).unwrap();
    for device in ["cpu", "torch-cpu"] {
        world.ok(&["train", "recipes/smoke.toml", "--out", device, "--device", device]);
    }
    let [cpu, torch] = ["cpu", "torch-cpu"].map(|run| world.validations(run));
    assert_eq!(torch.len(), 3);
    for (found, expected) in torch.iter().zip(&cpu) {
        assert_eq!(found.step, expected.step);
        for (x, y) in found.losses.iter().zip(&expected.losses) {
            assert!((x / y - 1.0).abs() < 1e-3, "after step {}: {x} {y}", found.step);
        }
    }
    let [first, last] = [&cpu[0], &cpu[2]].map(|validation| validation.losses[0]);
    assert!(last < 0.99 * first, "nothing was learnt: {first} {last}");
}

#[test]
fn activations_of_16_bits_train_to_nearly_the_same_losses() {
    let world = World::new(&[]);
    if !libtorch(&world) {
        return;
    }
    let precision = ["--device", "torch-cpu", "--precision", "bf16"];
    world.ok(&["train", "recipe.toml", "--out", "cpu"]);
    world.ok(&[&["train", "recipe.toml", "--out", "half"][..], &precision].concat());
    let last = |run: &str| world.validations(run).pop().unwrap().losses;
    for (found, expected) in last("half").iter().zip(last("cpu")) {
        assert!((found / expected - 1.0).abs() < 2e-2, "{found} {expected}");
    }
    let error = world.fails(&["train", "recipe.toml", "--out", "half"]);
    assert!(error.contains("precision: \"bf16\" -> (not set)"), "{error}");
}

#[test]
fn pictures_are_those_of_the_cpu() {
    let world = World::new(&[]);
    if !libtorch(&world) {
        return;
    }
    let size = ["--width", "64", "--height", "64", "--steps", "3"];
    let sample = ["sample", "--model", "tiny", "--prompt", "a woman", "--count", "2"];
    world.ok(&[&sample[..], &size, &["--out", "cpu"]].concat());
    world.ok(&[&sample[..], &size, &["--out", "torch", "--device", "torch-cpu"]].concat());
    let pixels =
        |run: &str, file: &str| image::open(world.path(run).join(file)).unwrap().to_rgb8().into_raw();
    for file in ["0000.png", "0001.png"] {
        let pairs = pixels("cpu", file).into_iter().zip(pixels("torch", file));
        let largest = pairs.map(|(a, b)| a.abs_diff(b)).max();
        assert!(largest <= Some(1), "{file}: {largest:?}");
    }
}

#[test]
fn without_libtorch_an_error_says_what_to_do_and_all_else_works() {
    let world = World::empty();
    let without = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env_remove("FAIRHUMAN_LIBTORCH").env_remove("VIRTUAL_ENV").env("PATH", "");
        command.output().unwrap()
    };
    let version = String::from_utf8(without(&["version"]).stdout).unwrap();
    assert!(version.contains("libtorch: none (no libtorch was found"), "{version}");
    let (model, inputs) = (golden("model"), golden("inputs.safetensors"));
    let replay = ["replay", "--model", &model, "--inputs", &inputs, "--outputs", "o"];
    assert!(without(&replay).status.success());
    let output = without(&[&replay[..], &["--device", "cuda"]].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    for word in ["--libtorch", "FAIRHUMAN_LIBTORCH", "VIRTUAL_ENV", "python3", "pip install torch"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    let output = without(&[&replay[..], &["--device", "torch-cpu", "--libtorch", "nowhere"]].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no libtorch in nowhere"), "{error}");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let world = World::empty();
    let (model, inputs) = (golden("model"), golden("inputs.safetensors"));
    let replay = ["replay", "--model", &model, "--inputs", &inputs, "--outputs", "o"];
    let output = world.run(&[&replay[..], &["--device", "gpu"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cuda:N"));
    if libtorch(&world) {
        let error = world.fails(&[&replay[..], &["--device", "cuda:200"]].concat());
        assert!(error.contains("no device cuda:200"), "{error}");
    }
}
