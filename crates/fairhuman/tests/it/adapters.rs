//! Adapters of other kinds than LoRA, training that begins with a LoRA, and models with a part of the user's
//! choice.

use std::collections::BTreeMap;

use fairhuman_diffusion::weights::{TensorBytes, WeightFiles, write_safetensors};

use crate::world::World;

const LORA: &str = "lora = { rank = 2, targets = [\"attention\", \"conv\"] }";

fn sample(world: &World, more: &[&str], out: &str) -> Vec<u8> {
    let arguments = ["sample", "--prompt", "a man", "--steps", "2", "--out", out];
    let model: &[&str] = if more.contains(&"--model") { &[] } else { &["--model", "tiny"] };
    world.ok(&[&arguments[..], model, more].concat());
    image::open(world.path(out).join("0000.png")).unwrap().to_rgb8().into_raw()
}

fn difference(a: &[u8], b: &[u8]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

/// A LoKr over every attention's query, and a change of a bias.
fn write_lokr(world: &World) {
    let files = WeightFiles::open(&world.path("tiny/unet")).unwrap();
    let values = |n: usize| (0..n).map(|i| 0.3 * (1.3 * i as f32).sin()).collect::<Vec<f32>>();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for name in files.names().filter(|name| name.ends_with(".to_q.weight")) {
        let shape = files.shape(name).unwrap();
        let flat = name.trim_end_matches(".weight").replace('.', "_");
        let second = vec![shape[0] / 2, shape[1] / 2];
        let count = second.iter().product();
        tensors.push((format!("lora_unet_{flat}.lokr_w1"), vec![2, 2], values(4)));
        tensors.push((format!("lora_unet_{flat}.lokr_w2"), second, values(count)));
        tensors.push((format!("lora_unet_{flat}.alpha"), vec![], vec![1e10]));
    }
    assert!(!tensors.is_empty());
    let bias = files.shape("conv_in.bias").unwrap().to_vec();
    tensors.push(("lora_unet_conv_in.diff_b".into(), bias.clone(), values(bias[0])));
    let tensors: BTreeMap<String, TensorBytes<'_>> =
        tensors.iter().map(|(name, shape, values)| (name.clone(), TensorBytes::f32(shape, values))).collect();
    write_safetensors(&world.path("lokr.safetensors"), &tensors, &BTreeMap::new()).unwrap();
}

#[test]
fn other_kinds_of_adapters_are_sampled_and_merged_alike_and_not_trained_on() {
    let world = World::new(&[]);
    write_lokr(&world);
    let plain = sample(&world, &[], "plain");
    let lora = ["--lora", "lokr.safetensors", "--lora-weight", "0.7"];
    let with = sample(&world, &lora, "with");
    assert!(difference(&plain, &with) > 1.0);
    world.ok(&[&["merge", "--model", "tiny", "--out", "merged"][..], &lora].concat());
    let merged = sample(&world, &["--model", "merged"], "of-merged");
    assert!(difference(&merged, &with) < 0.05, "{}", difference(&merged, &with));

    world.recipe("recipe.toml", &[(LORA, "lora = { rank = 2, from = \"lokr.safetensors\" }")]);
    for command in ["check", "train"] {
        let error = world.fails(&[command, "recipe.toml"]);
        assert!(error.contains("another kind than LoRA"), "{error}");
    }
}

#[test]
fn training_begins_with_what_a_lora_has_learnt() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "first"]);
    // The file's change is kept whatever alpha the recipe has.
    let from = "lora = { rank = 2, alpha = 7.0, targets = [\"attention\", \"conv\"], from = \"first/lora.safetensors\" }";
    world.recipe("second.toml", &[(LORA, from)]);
    world.ok(&["check", "second.toml"]);
    world.ok(&["train", "second.toml", "--out", "second"]);
    let (first, second) = (world.validations("first"), world.validations("second"));
    let (end, begin) = (&first.last().unwrap().losses, &second[0].losses);
    assert_eq!(second[0].step, 0);
    for (a, b) in end.iter().zip(begin) {
        assert!((a - b).abs() <= 1e-5 * a.abs(), "{end:?} {begin:?}");
    }
    assert!(begin.iter().zip(&first[0].losses).any(|(a, b)| (a - b).abs() > 1e-4 * b));

    for (from, words) in [
        (
            "lora = { rank = 4, targets = [\"attention\", \"conv\"], from = \"first/lora.safetensors\" }",
            "write lora.rank = 2",
        ),
        ("lora = { rank = 2, from = \"first/lora.safetensors\" }", "add it to lora.targets"),
        ("lora = { rank = 2, from = \"absent.safetensors\" }", "absent.safetensors"),
    ] {
        world.recipe("third.toml", &[(LORA, from)]);
        for command in ["check", "train"] {
            let error = world.fails(&[command, "third.toml"]);
            assert!(error.contains(words), "{command}: {error}");
        }
    }
    // A run that cannot go on with another rate says how its LoRA can.
    world.recipe("recipe.toml", &[("optimizer.learning_rate = 1e-3", "optimizer.learning_rate = 2e-3")]);
    let error = world.fails(&["train", "recipe.toml", "--out", "first"]);
    assert!(error.contains("lora.from = \"first/lora.safetensors\""), "{error}");
    // A run that has begun has its values in its checkpoints: the file may move, and the key may go.
    std::fs::rename(world.path("first/lora.safetensors"), world.path("moved.safetensors")).unwrap();
    let moved = from.replace("first/lora", "moved");
    world.recipe("second.toml", &[(LORA, &moved), ("steps = 6", "steps = 7")]);
    let output = world.run(&["train", "second.toml", "--out", "second"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("lora.from: moved.safetensors changes nothing"), "{said}");
    let without = "lora = { rank = 2, alpha = 7.0, targets = [\"attention\", \"conv\"] }";
    world.recipe("second.toml", &[(LORA, without), ("steps = 6", "steps = 8")]);
    let output = world.run(&["train", "second.toml", "--out", "second"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("lora.from"));
    assert_eq!(world.steps("second").len(), 8);
}

#[test]
fn a_lora_of_several_ranks_is_no_beginning_and_says_so() {
    let world = World::new(&[]);
    let files = WeightFiles::open(&world.path("tiny/unet")).unwrap();
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    for (i, name) in files.names().filter(|name| name.ends_with(".to_q.weight")).take(3).enumerate() {
        let (module, shape) = (name.trim_end_matches(".weight"), files.shape(name).unwrap());
        tensors.push((format!("unet.{module}.lora_A.weight"), vec![i + 1, shape[1]]));
        tensors.push((format!("unet.{module}.lora_B.weight"), vec![shape[0], i + 1]));
    }
    let zeros = vec![0.0; 4096];
    let tensor = |shape: &'_ Vec<usize>| zeros[..shape.iter().product()].to_vec();
    let values: Vec<Vec<f32>> = tensors.iter().map(|(_, shape)| tensor(shape)).collect();
    let tensors = tensors.iter().zip(&values);
    let tensors = tensors.map(|((name, shape), values)| (name.clone(), TensorBytes::f32(shape, values)));
    write_safetensors(&world.path("ranks.safetensors"), &tensors.collect(), &BTreeMap::new()).unwrap();
    world.recipe("recipe.toml", &[(LORA, "lora = { rank = 2, from = \"ranks.safetensors\" }")]);
    for command in ["check", "train"] {
        let error = world.fails(&[command, "recipe.toml"]);
        assert!(error.contains("ranks from 1 to 3"), "{command}: {error}");
    }
}

#[test]
fn an_autoencoder_of_ones_own_is_taken_and_skips_of_sdxl_are_refused() {
    let world = World::new(&[("steps = 6", "steps = 1")]);
    world.ok(&["init-model", "--preset", "tiny", "--out", "other", "--seed", "5"]);
    let plain = sample(&world, &[], "plain");
    assert_eq!(sample(&world, &["--vae", "tiny/vae"], "same"), plain);
    let other = sample(&world, &["--vae", "other"], "other-vae");
    assert!(difference(&other, &plain) > 1.0);
    let model = |more: &str| format!("model = {{ path = \"tiny\", {more} }}");
    world.recipe(
        "vae.toml",
        &[("model.path = \"tiny\"", &model("vae = \"other/vae\"")), ("steps = 6", "steps = 1")],
    );
    world.ok(&["check", "vae.toml"]);
    world.ok(&["train", "vae.toml"]);
    world.recipe("skip.toml", &[("model.path = \"tiny\"", &model("clip_skip = 2"))]);
    for command in ["check", "train"] {
        let error = world.fails(&[command, "skip.toml"]);
        assert!(error.contains("clip_skip: SDXL"), "{error}");
    }
}
