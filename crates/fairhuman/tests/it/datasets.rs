//! Datasets as people have them, trained on: buckets, repeats, weights, and captions that vary.

use std::collections::{BTreeMap, BTreeSet};

use fairhuman_train::events::Event;
use serde_json::Value;

use crate::world::World;

const MIDDLE: &str = "geometry = { width = 64, height = 64, flip = 0.5 }";
const PATH: &str = "dataset.path = \"people\"";
const HELD_OUT: &str = "validation = { share = 0.2, every = 3, draws = 2 }";

/// Cuts a picture and its masks to a part.
fn cut(world: &World, line: &Value, (width, height): (u32, u32)) {
    for column in ["image", "mask_face", "mask_hand"] {
        if let Some(name) = line[column].as_str() {
            let file = world.path("people").join(name);
            image::open(&file).unwrap().crop_imm(0, 0, width, height).save(&file).unwrap();
        }
    }
}

#[test]
fn with_buckets_every_batch_has_one_size_and_every_picture_its_turn() {
    let buckets = "geometry = { width = 64, height = 64, flip = 0.5, buckets = { step = 16 } }";
    let world = World::new(&[(MIDDLE, buckets), ("steps = 6", "steps = 12")]);
    let list = std::fs::read_to_string(world.path("people/metadata.jsonl")).unwrap();
    let lines: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Six square ones, two wide ones, two tall ones.
    let mut shapes = BTreeMap::new();
    for (i, line) in lines.iter().enumerate() {
        let shape = [(64, 64), (64, 30), (30, 64)][[0, 0, 0, 1, 1, 0, 0, 2, 2, 0][i]];
        cut(&world, line, shape);
        shapes.insert(line["image"].as_str().unwrap().to_owned(), shape);
    }
    let report: Value = serde_json::from_str(&world.ok(&["check", "recipe.toml", "--json"])).unwrap();
    assert_eq!(report["buckets"].as_array().unwrap().len(), 3, "{}", report["buckets"]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for step in world.steps("run") {
        assert!(
            step.samples.iter().all(|name| shapes[name] == shapes[&step.samples[0]]),
            "{:?}",
            step.samples
        );
        step.samples.iter().for_each(|name| *seen.entry(name.clone()).or_insert(0) += 1);
    }
    // 8 pictures are trained on; held-out ones of other shapes are looked at too.
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert_eq!(world.validations("run").len(), 5);
    // Resumed, the batches are the same.
    world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "5"]);
    world.ok(&["train", "recipe.toml", "--out", "parts"]);
    assert_eq!(world.steps("run"), world.steps("parts"));
}

/// kohya's `N_name` folders with the people's pictures, captions from the folders' words.
fn kohya(world: &World) {
    for (i, folder) in ["3_woman", "1_man"].iter().enumerate() {
        std::fs::create_dir_all(world.path("kohya").join(folder)).unwrap();
        for picture in 0..2 {
            let name = format!("{:05}.png", 2 * i + picture);
            std::fs::copy(
                world.path("people/images").join(&name),
                world.path("kohya").join(folder).join(&name),
            )
            .unwrap();
        }
    }
}

#[test]
fn repeats_say_how_often_a_picture_comes_in_an_epoch() {
    let masks =
        "    { name = \"face\", mask = \"mask_face\" },\n    { name = \"hand\", mask = \"mask_hand\" },\n";
    let world = World::new(&[
        (PATH, "dataset.path = \"kohya\""),
        (masks, ""),
        (HELD_OUT, ""),
        ("steps = 6", "steps = 8"),
    ]);
    kohya(&world);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    // Two pictures three times, two once: 8 samples, 4 steps of 2.
    for epoch in world.steps("run").chunks(4) {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        epoch.iter().flat_map(|s| &s.samples).for_each(|name| *count.entry(name).or_insert(0) += 1);
        let expected = [
            ("1_man/00002.png", 1),
            ("1_man/00003.png", 1),
            ("3_woman/00000.png", 3),
            ("3_woman/00001.png", 3),
        ];
        assert_eq!(count, BTreeMap::from(expected));
    }
}

#[test]
fn a_folders_weight_multiplies_its_squared_errors() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "whole", "--steps", "1"]);
    let folders = "dataset = { path = \"people\", folders = [{ path = \"images\", weight = 0.5 }] }";
    world.recipe("half.toml", &[(PATH, folders)]);
    world.ok(&["train", "half.toml", "--out", "half", "--steps", "1"]);
    let losses = |run: &str| world.steps(run)[0].losses.clone();
    let (whole, half) = (losses("whole"), losses("half"));
    assert!(whole[0] > 0.0);
    for (whole, half) in whole.iter().zip(half) {
        assert!((0.5 * whole - half).abs() < 1e-9 * whole.abs(), "{whole} {half}");
    }
}

#[test]
fn a_picture_that_is_listed_twice_is_held_out_or_trained_on_and_never_both() {
    let world = World::new(&[("steps = 6", "steps = 10"), ("every = 3", "every = 10")]);
    let list = std::fs::read_to_string(world.path("people/metadata.jsonl")).unwrap();
    let again = list.replace("\"text\":\"", "\"text\":\"again, ").replace("images/", "./images/");
    assert!(again.contains("again, ") && again.contains("./images/"));
    std::fs::write(world.path("people/metadata.jsonl"), format!("{list}{again}")).unwrap();
    let plain = |name: &String| name.trim_start_matches("./").to_owned();
    let first = list.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok()).unwrap();
    let named = format!("validation = {{ samples = [{}], every = 10, draws = 2 }}", first["image"]);
    world.recipe("named.toml", &[("steps = 6", "steps = 10"), (HELD_OUT, &named)]);
    for (recipe, pictures) in [("recipe.toml", 2), ("named.toml", 1)] {
        world.ok(&["train", recipe, "--out", recipe.trim_end_matches(".toml")]);
        let run = recipe.trim_end_matches(".toml");
        let held_out = world.events(run).into_iter().find_map(|event| match event {
            Event::Start(start) => Some(start.held_out),
            _ => None,
        });
        let held_out: Vec<String> = held_out.unwrap().iter().map(plain).collect();
        let distinct: BTreeSet<&String> = held_out.iter().collect();
        assert_eq!((distinct.len(), held_out.len()), (pictures, 2 * pictures), "{held_out:?}");
        let trained: BTreeSet<String> =
            world.steps(run).iter().flat_map(|step| step.samples.iter().map(plain)).collect();
        assert_eq!(trained.len(), 10 - pictures, "{trained:?}");
        assert!(held_out.iter().all(|name| !trained.contains(name)), "{held_out:?} {trained:?}");
    }
}

/// Trains three steps on the people with captions `text`, and a line more in the recipe's dataset.
fn captioned(world: &World, run: &str, text: &str, more: &str) -> Vec<fairhuman_train::events::Step> {
    let list = std::fs::read_to_string(world.path("people/metadata.jsonl")).unwrap();
    let lines = list.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["text"] = text.into();
        format!("{line}\n")
    });
    std::fs::write(world.path("people/metadata.jsonl"), lines.collect::<String>()).unwrap();
    let recipe = format!("{run}.toml");
    world.recipe(
        &recipe,
        &[(PATH, &format!("dataset = {{ path = \"people\"{more} }}")), ("steps = 6", "steps = 3")],
    );
    world.ok(&["train", &recipe, "--out", run]);
    world.steps(run)
}

#[test]
fn captions_are_left_out_and_shuffled_as_the_recipe_says() {
    let world = World::new(&[]);
    let written = captioned(&world, "written", "red hat, a dog, two cats, rain", "");
    let empty = captioned(&world, "empty", "", ", allow_empty_captions = true");
    assert_ne!(written[0].losses, empty[0].losses, "the network reads captions");
    let dropped =
        captioned(&world, "dropped", "red hat, a dog, two cats, rain", ", captions = { dropout = 1.0 }");
    assert_eq!(dropped, empty, "a caption that is left out is an empty one");
    let half = captioned(&world, "half", "red hat, a dog, two cats, rain", ", captions = { dropout = 0.5 }");
    assert!(half != written && half != empty);
    // Every tag kept: the same caption, though it is encoded when it is seen.
    let kept = captioned(
        &world,
        "kept",
        "red hat ,a dog ,two cats ,rain",
        ", captions = { shuffle = true, keep = 9 }",
    );
    assert_eq!(kept, written);
    let shuffled =
        captioned(&world, "shuffled", "red hat, a dog, two cats, rain", ", captions = { shuffle = true }");
    assert_ne!(shuffled, written);
    // A function of the step alone: resumed, it is the same.
    world.ok(&["train", "shuffled.toml", "--out", "parts", "--steps", "1"]);
    world.ok(&["train", "shuffled.toml", "--out", "parts"]);
    assert_eq!(world.steps("parts"), shuffled);
}
