//! Replaying: the golden step of PyTorch, and the steps that training records.

use std::path::Path;

use fairhuman_train::recorded::{Tensor, TensorFile, read_tensors};

use crate::world::World;

/// Every tensor of `expected` is in `found`, within `tolerance` of its norm.
pub fn assert_agrees(found: &Path, expected: &Path, tolerance: f64) {
    let (found, expected) = (read_tensors(found).unwrap(), read_tensors(expected).unwrap());
    assert_eq!(names(&found), names(&expected));
    for (name, tensor) in &expected.tensors {
        assert_eq!(found.tensors[name].shape, tensor.shape, "{name}");
        let (x, y) = (tensor.to_f32(), found.tensors[name].to_f32());
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let difference = square(&mut x.iter().zip(&y).map(|(a, b)| f64::from(a - b)));
        let size = square(&mut x.iter().map(|&v| f64::from(v)));
        assert!(difference <= tolerance * size, "{name}: {difference} of {size}");
    }
}

fn names(file: &TensorFile) -> Vec<&String> {
    file.tensors.keys().collect()
}

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_golden_step_agrees_with_pytorch_checkpointed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    for extra in [&[][..], &["--checkpointing"], &["--threads", "1"]] {
        let outputs = folder.path().join("outputs.safetensors");
        let mut command = assert_cmd::Command::cargo_bin("fairhuman").unwrap();
        command.args(["replay", "--model", &golden("model"), "--inputs", &golden("inputs.safetensors")]);
        command.arg("--outputs").arg(&outputs).args(extra);
        command.assert().success();
        assert_agrees(&outputs, Path::new(&golden("expected.safetensors")), 1e-4);
    }
}

/// A ControlNet and a T2I-Adapter of every kind, one of them without any hand.
#[test]
fn golden_steps_of_control_networks_agree_with_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["controlnet-sdxl", "controlnet-sd15", "t2i-xl-sdxl", "t2i-full-sd15", "t2i-light-sd15"] {
        let file = |name: &str| golden(&format!("control/{kind}/{name}"));
        for extra in [&[][..], &["--checkpointing"], &["--two-passes"]] {
            let outputs = folder.path().join("outputs.safetensors");
            let mut command = assert_cmd::Command::cargo_bin("fairhuman").unwrap();
            command.args(["replay", "--model", &file("model"), "--control", &file("control")]);
            command.args(["--inputs", &file("inputs.safetensors"), "--outputs"]).arg(&outputs).args(extra);
            command.assert().success();
            assert_agrees(&outputs, Path::new(&file("expected.safetensors")), 1e-3);
        }
    }
}

#[test]
fn what_is_expected_is_compared_and_another_step_fails() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs.safetensors");
    let replay = |expected: &str| {
        let mut command = assert_cmd::Command::cargo_bin("fairhuman").unwrap();
        command.args(["replay", "--model", &golden("model"), "--inputs", &golden("inputs.safetensors")]);
        command.arg("--outputs").arg(&outputs).args(["--expected", &golden(expected)]);
        command.assert()
    };
    let assert = replay("expected.safetensors").success();
    let said = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    for kind in ["prediction", "losses", "gram", "weights", "grad_norm", "lora"] {
        assert!(said.lines().any(|line| line.starts_with(kind)), "{kind} is not in {said}");
    }
    replay("control/controlnet-sdxl/expected.safetensors").failure();
}

#[test]
fn the_last_line_is_one_json_object_of_times() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs.safetensors");
    let mut command = assert_cmd::Command::cargo_bin("fairhuman").unwrap();
    command.args(["replay", "--model", &golden("model"), "--inputs", &golden("inputs.safetensors")]);
    command.arg("--outputs").arg(&outputs).args(["--repeat", "2", "--profile"]);
    let stdout = String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap();
    let last: serde_json::Value = serde_json::from_str(stdout.trim_end().lines().last().unwrap()).unwrap();
    for key in ["forward_ms", "backward_ms", "solve_ms", "update_ms", "step_ms"] {
        assert!(last[key].as_f64().is_some_and(|ms| ms > 0.0), "{key} in {last}");
    }
    assert!(last.get("peak_rss_mb").is_some());
    let saved = |line: &serde_json::Value| line["activations_mb"].as_f64().unwrap();
    let mut command = assert_cmd::Command::cargo_bin("fairhuman").unwrap();
    command.args(["replay", "--model", &golden("model"), "--inputs", &golden("inputs.safetensors")]);
    command.arg("--outputs").arg(&outputs).args(["--repeat", "1", "--checkpointing"]);
    let checkpointed = String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap();
    let checkpointed = serde_json::from_str(checkpointed.trim_end().lines().last().unwrap()).unwrap();
    assert!(
        saved(&checkpointed) > 0.0 && saved(&checkpointed) <= saved(&last) / 3.0,
        "{checkpointed} {last}"
    );
    for operation in ["conv2d", "attention vjp", "lora gradient", "everything else"] {
        assert!(stdout.contains(operation), "{operation} in\n{stdout}");
    }
}

/// Its weights are a function of the run's seed and the step, which the file must hold.
#[test]
fn a_recorded_step_with_random_weights_replays_with_the_same_weights() {
    let world = World::new(&[("steps = 6", "steps = 3\nseed = 5\nweighting = { kind = \"rlw\" }")]);
    world.ok(&["train", "recipe.toml", "--out", "run", "--record", "3"]);
    let folder = world.path("run/record/step-00000003");
    let inputs = folder.join("inputs.safetensors").display().to_string();
    world.ok(&["replay", "--model", "tiny", "--inputs", &inputs, "--outputs", "outputs.safetensors"]);
    assert_agrees(&world.path("outputs.safetensors"), &folder.join("expected.safetensors"), 1e-5);
}

#[test]
fn a_recorded_step_replays_to_what_the_training_step_gave() {
    // The objective without a mask is the first, whatever it is called.
    let named = ("{ name = \"global\" }", "{ name = \"whole\", scale = 3.0 }");
    let world = World::new(&[("steps = 6", "steps = 3\nmin_snr_gamma = 5.0"), named]);
    world.ok(&["train", "recipe.toml", "--out", "run", "--record", "3"]);
    let folder = world.path("run/record/step-00000003");
    let inputs = folder.join("inputs.safetensors").display().to_string();
    world.ok(&["replay", "--model", "tiny", "--inputs", &inputs, "--outputs", "outputs.safetensors"]);
    assert_agrees(&world.path("outputs.safetensors"), &folder.join("expected.safetensors"), 1e-5);
    let step = world.steps("run").pop().unwrap();
    let outputs = read_tensors(&world.path("outputs.safetensors")).unwrap();
    for (loss, found) in step.losses.iter().zip(outputs.tensors["losses"].to_f32()) {
        assert!((loss - f64::from(found)).abs() <= 1e-5 * loss, "{loss} {found}");
    }

    let error = world.fails(&["train", "recipe.toml", "--out", "run", "--record", "2"]);
    assert!(error.contains("--record 2"), "{error}");
}

#[test]
fn inputs_that_lack_something_are_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("inputs.safetensors");
    let mut file = read_tensors(Path::new(&golden("inputs.safetensors"))).unwrap();
    file.tensors.remove("time_ids");
    file.metadata.remove("eps");
    fairhuman_train::recorded::write_tensors(&broken, &file).unwrap();
    let replay = |inputs: &Path| {
        let mut command = assert_cmd::Command::cargo_bin("fairhuman").unwrap();
        command.args(["replay", "--model", &golden("model"), "--inputs"]).arg(inputs);
        let output = command.arg("--outputs").arg(folder.path().join("o")).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(replay(&broken).contains("\"eps\""));
    file.metadata.insert("eps".into(), "1e-8".into());
    fairhuman_train::recorded::write_tensors(&broken, &file).unwrap();
    assert!(replay(&broken).contains("time_ids"));
    let good = read_tensors(Path::new(&golden("inputs.safetensors"))).unwrap();
    for (key, value) in [("beta1", "2"), ("eps", "-1"), ("learning_rate", "nan"), ("local_scale", "0")] {
        let mut file = good.clone();
        file.metadata.insert(key.into(), value.into());
        fairhuman_train::recorded::write_tensors(&broken, &file).unwrap();
        let error = replay(&broken);
        assert!(error.contains(&format!("\"{key}\"")) && error.contains("expected"), "{error}");
    }
    for (name, value) in [("mask_face", 255.0), ("mask_hand", -1.0), ("timesteps", -5.0), ("timesteps", 0.5)]
    {
        let mut file = good.clone();
        let shape = file.tensors[name].shape.clone();
        let values = vec![value; shape.iter().product()];
        file.tensors.insert(name.into(), Tensor::f32(&shape, values));
        fairhuman_train::recorded::write_tensors(&broken, &file).unwrap();
        let error = replay(&broken);
        assert!(error.contains(name) && error.contains("expected"), "{error}");
    }
    // Half of an adapter.
    let mut file = good.clone();
    let half = file.tensors.keys().find(|name| name.ends_with(".lora_A.weight")).unwrap().clone();
    file.tensors.remove(&half);
    fairhuman_train::recorded::write_tensors(&broken, &file).unwrap();
    assert!(replay(&broken).contains(&half), "{}", replay(&broken));
    std::fs::write(&broken, b"nothing").unwrap();
    assert!(replay(&broken).contains("safetensors"));
}
