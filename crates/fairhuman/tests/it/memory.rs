//! The estimate of a run's memory against what runs are seen to take, and what is said of it.

use std::path::Path;

use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_train::events::{self, Event};
use fairhuman_train::memory::{Networks, Sizes, estimate};
use fairhuman_train::recipe::Recipe;

use crate::world::World;

/// The estimated and the measured peak of two steps, in MiB.
fn peaks(world: &World, name: &str, text: &str) -> (f64, f64) {
    let path = world.path(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    world.ok(&["train", &format!("{name}.toml"), "--out", name]);
    let steps = events::read(&world.path(name).join("events.jsonl")).unwrap().into_iter();
    let measured = steps.filter_map(|event| match event {
        Event::Step(step) => step.peak_memory_mib,
        _ => None,
    });
    let recipe = Recipe::read(&path).unwrap();
    let networks = Networks::open(&ModelFolder::open(&recipe.model.path).unwrap()).unwrap();
    let estimated = estimate(&networks, &Sizes::of(&recipe)).peak() / f64::from(1 << 20);
    (estimated, measured.fold(0.0, f64::max))
}

#[test]
fn estimates_are_near_measured_peaks() {
    let world = World::empty();
    world.ok(&["people", "--count", "16", "--size", "192", "--out", "people"]);
    let model = world.ok(&["models", "builtin"]);
    let model = model.lines().map(str::trim).find(|line| Path::new(line).is_dir());
    let model = model.expect("a line is the folder").to_owned();
    let mut table = String::new();
    for (method, size, batch, checkpointing) in [
        ("lora", 96, 1, false),
        ("lora", 96, 8, false),
        ("lora", 96, 8, true),
        ("lora", 192, 1, false),
        ("lora", 192, 8, false),
        ("lora", 192, 8, true),
        ("full", 96, 1, false),
        ("full", 192, 4, false),
        ("full", 192, 4, true),
        ("vae", 96, 2, false),
        ("vae", 96, 2, true),
    ] {
        let lora = if method == "lora" { "lora = { rank = 16 }" } else { "" };
        let text = format!(
            "steps = 2\nbatch = {batch}\nmethod = \"{method}\"\nactivation_checkpointing = {checkpointing}\n{lora}\n\
             model.path = {model:?}\ndataset.path = \"people\"\ngeometry = {{ width = {size}, height = {size} }}\n\
             objective = [{{ name = \"global\" }}, {{ name = \"face\", mask = \"mask_face\" }}, \
             {{ name = \"hand\", mask = \"mask_hand\" }}]\n"
        );
        let name = format!("{method}-{size}-{batch}-{checkpointing}");
        let (estimated, measured) = peaks(&world, &name, &text);
        table.push_str(&format!("{name:22} {estimated:7.0} {measured:7.0} {:5.2}\n", estimated / measured));
    }
    println!("{table}");
    let ratios = table.lines().filter_map(|line| line.split_whitespace().last()?.parse::<f64>().ok());
    for ratio in ratios {
        assert!((1.0 / 1.3..=1.3).contains(&ratio), "estimated, measured (MiB), ratio:\n{table}");
    }
}

#[test]
fn a_run_far_beyond_the_memory_is_refused_with_what_to_change() {
    let world = World::new(&[
        ("batch = 2", "batch = 4096"),
        ("width = 64, height = 64", "width = 4096, height = 4096"),
    ]);
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    for part in
        ["this run will need about", "activations", "activation_checkpointing = true", "batch than 4096"]
    {
        assert!(error.contains(part), "{error}");
    }
    assert!(!world.path("run").exists(), "nothing is begun");
}
