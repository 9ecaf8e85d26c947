//! `precision = "bf16"` on the CPU, from outside: runs are near those in f32 and go on bit for bit. Where the
//! processor gains nothing by it they are those in f32, and a note says so.

use std::path::Path;

use fairhuman_train::recorded::{TensorFile, read_tensors};

use crate::world::World;

const BF16: [&str; 2] = ["--precision", "bf16"];

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Whether this processor's bfloat16 is used.
fn used(world: &World) -> bool {
    let version = world.ok(&["version"]);
    let line = version.lines().find(|line| line.starts_with("bfloat16: ")).expect("a line about bfloat16");
    assert!(line.contains("uses it on the CPU") != line.contains("computes in f32"), "{line}");
    line.contains("uses it")
}

/// Distance of two tensors as a share of the second one's norm.
fn distance(found: &TensorFile, expected: &TensorFile, name: &str) -> f64 {
    let norm = |values: Vec<f64>| values.into_iter().map(|v| v * v).sum::<f64>().sqrt();
    let [found, expected] = [found, expected].map(|file| file.tensors[name].to_f32());
    let difference = found.iter().zip(&expected).map(|(a, b)| f64::from(a - b)).collect();
    norm(difference) / norm(expected.into_iter().map(f64::from).collect())
}

#[test]
fn the_golden_step_is_near_pytorchs_in_f32() {
    let world = World::empty();
    let (model, inputs) = (golden("model"), golden("inputs.safetensors"));
    let replay = ["replay", "--model", &model, "--inputs", &inputs, "--outputs", "o"];
    let expected = read_tensors(Path::new(&golden("expected.safetensors"))).unwrap();
    let mut files = Vec::new();
    for extra in [&[][..], &["--threads", "1"], &["--checkpointing"]] {
        world.ok(&[&replay[..], &BF16, extra].concat());
        let found = read_tensors(&world.path("o")).unwrap();
        for (name, most) in [("prediction", 1e-2), ("losses", 2e-3), ("gram", 3e-2), ("weights", 1e-2)] {
            let distance = distance(&found, &expected, name);
            assert!(distance < most, "{name}: {distance}");
        }
        let distance = distance(&found, &expected, "prediction");
        assert!(distance > 1e-4 || !used(&world), "{distance}: the prediction is f32's");
        files.push(found.tensors);
    }
    assert!(files.iter().all(|file| *file == files[0]), "threads or recomputing changed bits");
}

#[test]
fn runs_go_on_bit_for_bit_and_learn_what_they_learn_in_f32() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "f32"]);
    world.ok(&[&["train", "recipe.toml", "--out", "whole"][..], &BF16].concat());
    world.ok(&[&["train", "recipe.toml", "--out", "parts", "--steps", "3"][..], &BF16].concat());
    world.ok(&[&["train", "recipe.toml", "--out", "parts", "--threads", "1"][..], &BF16].concat());
    let trained = |run: &str| read_tensors(&world.path(run).join("lora.safetensors")).unwrap().tensors;
    assert_eq!(trained("whole"), trained("parts"));
    assert_eq!(world.steps("whole"), world.steps("parts"));
    assert_eq!(trained("whole") != trained("f32"), used(&world));
    let last = |run: &str| world.validations(run).pop().unwrap().losses;
    for (found, expected) in last("whole").iter().zip(last("f32")) {
        assert!((found / expected - 1.0).abs() < 5e-3, "{found} {expected}");
    }
    let error = world.fails(&["train", "recipe.toml", "--out", "whole"]);
    assert!(error.contains("precision: \"bf16\" -> (not set)"), "{error}");
}

#[test]
fn a_processor_that_gains_nothing_says_so() {
    let world = World::empty();
    let (model, inputs) = (golden("model"), golden("inputs.safetensors"));
    let replay = ["replay", "--model", &model, "--inputs", &inputs, "--outputs", "o"];
    let output = world.run(&[&replay[..], &BF16].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said.contains("note: precision: bfloat16: "), !used(&world), "{said}");
}
