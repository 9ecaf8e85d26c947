//! Merging: the new folder draws what its base draws with the LoRA.

use crate::world::World;

fn pixels(world: &World, file: &str) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(world.bytes(file))).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
}

#[test]
fn a_merged_model_draws_what_its_base_draws_with_the_lora() {
    let world = World::new(&[("learning_rate = 1e-3", "learning_rate = 3e-2")]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let lora = ["--lora", "run/lora.safetensors", "--lora-weight", "0.5"];
    world.ok(&[&["merge", "--model", "tiny", "--out", "merged"], &lora[..]].concat());
    let sample = |model: &str, out: &str, lora: &[&str]| {
        let size = ["--width", "64", "--height", "64", "--steps", "3", "--prompt", "a woman"];
        world.ok(&[&["sample", "--model", model, "--out", out], &size[..], lora].concat());
        pixels(&world, &format!("{out}/0000.png"))
    };
    let (base, merged) = (sample("tiny", "a", &[]), sample("merged", "b", &[]));
    let attached = sample("tiny", "c", &lora);
    assert!(difference(&merged, &attached) < 0.1, "{}", difference(&merged, &attached));
    assert!(difference(&merged, &base) > 1.0, "{}", difference(&merged, &base));

    let error = world.fails(&[&["merge", "--model", "tiny", "--out", "merged"], &lora[..]].concat());
    assert!(error.contains("merged") && error.contains("new folder"), "{error}");
}

#[test]
fn of_two_merges_into_one_folder_one_wins_and_the_other_is_told() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let merge = || {
        let lora = ["--lora", "run/lora.safetensors", "--out", "merged"];
        world.run(&[&["merge", "--model", "tiny"], &lora[..]].concat())
    };
    let outputs = std::thread::scope(|scope| {
        let both = [scope.spawn(merge), scope.spawn(merge)];
        both.map(|one| one.join().unwrap())
    });
    let told = outputs.iter().find(|output| !output.status.success()).unwrap();
    assert_eq!(outputs.iter().filter(|output| output.status.success()).count(), 1);
    let error = String::from_utf8_lossy(&told.stderr);
    assert!(error.contains("merged") && error.contains("there already"), "{error}");
    world.ok(&["sample", "--model", "merged", "--out", "a", "--steps", "1", "--prompt", "a woman"]);
    let unfinished = std::fs::read_dir(world.path(".")).unwrap().flatten();
    let unfinished: Vec<_> =
        unfinished.filter(|e| e.path().extension().is_some_and(|e| e == "partial")).collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

#[test]
fn what_is_no_lora_is_told() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let sample = |lora: &str| {
        world.run(&["sample", "--model", "tiny", "--prompt", "x", "--out", "o", "--lora", lora]).stderr
    };
    let said = |lora: &str| String::from_utf8(sample(lora)).unwrap();
    let state = said("run/checkpoints/step-00000006.safetensors");
    assert!(state.contains("training state, not a LoRA"), "{state}");
    assert!(state.contains("of its run is run/lora.safetensors"), "{state}");
    for slip in ["run/people/lora.safetensors", "nowhere/people/lora.safetensors", "run/lora.ckpt"] {
        let error = said(slip);
        assert!(error.contains("there is no such file") && !error.contains("models get run"), "{error}");
    }
}
