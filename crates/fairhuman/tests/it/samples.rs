//! `[samples]`: pictures of prompts while a run trains.

use fairhuman_train::events::Event;
use fairhuman_train::recorded::read_tensors;

use crate::world::World;

const SAMPLES: (&str, &str) = (
    "lora = {",
    r#"samples = { prompts = ["a woman waves", "a man"], every = 4, steps = 2, guidance = 3.0, seed = 5 }
lora = {"#,
);

fn pixels(world: &World, file: &str) -> Vec<u8> {
    image::open(world.path(file)).unwrap().to_rgb8().into_raw()
}

#[test]
fn the_pictures_are_those_of_sample_and_change_nothing_of_what_is_learnt() {
    let world = World::new(&[SAMPLES]);
    world.recipe("plain.toml", &[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    world.ok(&["train", "plain.toml", "--out", "plain"]);
    let learnt = |run: &str| read_tensors(&world.path(run).join("lora.safetensors")).unwrap().tensors;
    assert!(learnt("run") == learnt("plain"), "the same adapter");

    let expected: Vec<String> =
        [0, 4, 6].iter().flat_map(|step| [0, 1].map(|i| format!("step-{step:08}/{i}.png"))).collect();
    assert_eq!(world.files("run/samples"), expected, "before the first step, every 4, after the last");
    let logged: Vec<(u64, usize)> = world
        .events("run")
        .into_iter()
        .filter_map(|event| match event {
            Event::Samples { step, files, .. } => Some((step, files.len())),
            _ => None,
        })
        .collect();
    assert_eq!(logged, [(0, 2), (4, 2), (6, 2)]);

    let sample = "sample --model tiny --lora run/lora.safetensors --steps 2 --guidance 3 --seed 5 --width 64 \
                  --height 64 --out pictures --prompt";
    let words: Vec<&str> = sample.split(' ').chain(["a woman waves", "--prompt", "a man"]).collect();
    world.ok(&words);
    for i in 0..2 {
        let now = pixels(&world, &format!("run/samples/step-00000006/{i}.png"));
        assert_eq!(now, pixels(&world, &format!("pictures/000{i}.png")));
        assert_ne!(now, pixels(&world, &format!("run/samples/step-00000000/{i}.png")), "it has learnt");
    }

    world.ok(&["report", "run", "--out", "with.html"]);
    world.ok(&["report", "plain", "--out", "without.html"]);
    let page = |file: &str| String::from_utf8(world.bytes(file)).unwrap();
    assert!(page("with.html").contains("id=\"samples-1\""));
    assert!(!page("without.html").contains("id=\"samples-1\""));
}

#[test]
fn samples_that_cannot_be_made_are_refused_before_training() {
    let world = World::new(&[SAMPLES, ("every = 4", "every = 0"), ("steps = 2", "sampler = \"best\"")]);
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("samples.every: expected at least 1, found 0"), "{error}");
    assert!(error.contains("samples.sampler: expected one of unipc"), "{error}");

    world.recipe("odd.toml", &[SAMPLES, ("every = 4", "width = 60")]);
    let error = world.fails(&["train", "odd.toml", "--out", "odd"]);
    assert!(error.contains("[samples]") && error.contains("60x64 pixels"), "{error}");
    assert!(!world.path("odd/events.jsonl").exists(), "before anything is validated");

    world.recipe(
        "vae.toml",
        &[SAMPLES, ("lora = { rank = 2, targets = [\"attention\", \"conv\"] }", "method = \"vae\"")],
    );
    let error = world.fails(&["train", "vae.toml", "--out", "vae"]);
    assert!(error.contains("[samples]") && error.contains("autoencoder"), "{error}");
}
