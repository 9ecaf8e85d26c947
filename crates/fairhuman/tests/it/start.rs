//! Whatever `train` refuses at its start, `check` and `train --dry-run` refuse as well, and change nothing.

use crate::world::World;

const LORA: &str = "lora = { rank = 2, targets = [\"attention\", \"conv\"] }";
const MODEL: &str = "model.path = \"tiny\"";
const SIZE: &str = "width = 64, height = 64";

/// Both commands refuse the recipe, with the words in `check`; nothing is written.
fn refused(world: &World, words: &str) {
    // A folder that the recipe names is the one that is tried.
    let names_one = String::from_utf8(world.bytes("recipe.toml")).unwrap().contains("\nout = ");
    let out: &[&str] = if names_one { &[] } else { &["--out", "refused"] };
    let before = world.files(".");
    let error = world.fails(&["check", "recipe.toml"]);
    assert!(error.contains(words), "{words:?} is not in:\n{error}");
    assert!(error.contains("training would end here"), "{error}");
    world.fails(&["train", "recipe.toml", "--dry-run"]);
    let files =
        |list: Vec<String>| list.into_iter().filter(|f| !f.starts_with("user-cache")).collect::<Vec<_>>();
    assert_eq!(files(world.files(".")), files(before));
    let error = world.fails(&[&["train", "recipe.toml"], out].concat());
    assert!(error.contains(words), "{words:?} is not in:\n{error}");
}

#[test]
fn what_training_refuses_at_its_start_does_not_pass_the_check() {
    let world = World::new(&[]);
    world.ok(&["check", "recipe.toml"]);
    let nothing = "dataset = { path = \"people\", folders = [{ path = \"images\", weight = 0.0 }] }";
    for (from, to, words) in [
        ("dataset.path = \"people\"", nothing, "every picture that is trained on has weight 0"),
        (MODEL, "model.path = \"models/nope\"", "there is no such folder"),
        (LORA, "lora.targets = [\"to_z\"]", "\"to_z\" names no linear layer"),
        (SIZE, "width = 60, height = 64", "60"),
        ("share = 0.2", "samples = [\"nobody.png\"]", "nobody.png"),
        ("batch = 2", "batch = 2\nsamples = { prompts = [\"a\"], width = 60 }", "60"),
        ("batch = 2", "batch = 2\nout = \"people\"", "people"),
    ] {
        world.recipe("recipe.toml", &[(from, to)]);
        refused(&world, words);
    }
}

#[test]
fn a_model_whose_files_do_not_fit_does_not_pass_the_check() {
    let world = World::new(&[]);
    for (file, from, to) in [
        ("tiny/unet/config.json", "\"cross_attention_dim\"", "\"cross_attention_di\""),
        ("tiny/scheduler/scheduler_config.json", "{", "["),
        ("tiny/vae/config.json", "\"latent_channels\": 4", "\"latent_channels\": 5"),
    ] {
        let whole = String::from_utf8(world.bytes(file)).unwrap();
        assert!(whole.contains(from), "{file}: {whole}");
        std::fs::write(world.path(file), whole.replacen(from, to, 1)).unwrap();
        let error = world.fails(&["check", "recipe.toml"]);
        assert!(error.contains("training would end here"), "{file}: {error}");
        world.fails(&["train", "recipe.toml", "--out", "refused"]);
        std::fs::write(world.path(file), whole).unwrap();
    }
    let schedule = world.path("tiny/scheduler/scheduler_config.json");
    std::fs::remove_file(&schedule).unwrap();
    let error = world.fails(&["check", "recipe.toml"]);
    assert!(error.contains("scheduler_config.json") && error.contains("fairhuman models get"), "{error}");
}

#[test]
fn paths_that_lead_nowhere_and_keys_that_do_nothing_are_told_by_their_key() {
    let world = World::new(&[]);
    for (from, to, words) in [
        (MODEL, "model.path = \"models/nope\"", "model.path: models/nope: there is no such folder"),
        (MODEL, "model.path = \"nope.safetensors\"", "model.path: nope.safetensors: there is no such file"),
        (MODEL, "model = { path = \"tiny\", vae = \"x\" }", "model.vae: x: there is no such file or folder"),
        (LORA, "lora.from = \"x.safetensors\"", "lora.from: x.safetensors: there is no such file or folder"),
        (MODEL, "model = { path = \"tiny\", base = \"tiny\" }", "model.base: it is for a checkpoint file"),
        (
            MODEL,
            "model = { path = \"tiny\", prediction = \"v\" }",
            "model.prediction: it is for a checkpoint",
        ),
    ] {
        world.recipe("recipe.toml", &[(from, to)]);
        refused(&world, words);
    }
    let sample = ["sample", "--prompt", "a man", "--model", "tiny"];
    let error = world.fails(&[&sample[..], &["--base", "tiny"]].concat());
    assert!(error.contains("--base: it is for a checkpoint file"), "{error}");
    let error = world.fails(&[&sample[..], &["--vae", "x"]].concat());
    assert!(error.contains("the autoencoder, x: there is no such file or folder"), "{error}");
}

#[test]
fn the_resolved_recipe_is_named_when_it_is_there() {
    let world = World::new(&[("steps = 6", "steps = 1")]);
    let output = world.run(&["train", "recipe.toml", "--out", "run"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("run/recipe.toml"), "{output:?}");
    world.recipe("recipe.toml", &[("dataset.path = \"people\"", "dataset.path = \"nowhere\"")]);
    let output = world.run(&["train", "recipe.toml", "--out", "never"]);
    let said = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains("never/recipe.toml"));
}

#[test]
fn a_run_with_another_recipe_does_not_pass_the_check() {
    let world = World::new(&[("steps = 6", "steps = 1")]);
    world.ok(&["train", "recipe.toml"]);
    world.recipe("recipe.toml", &[("optimizer.learning_rate = 1e-3", "optimizer.learning_rate = 2e-3")]);
    let error = world.fails(&["check", "recipe.toml"]);
    assert!(error.contains("optimizer.learning_rate: 0.001 -> 0.002"), "{error}");
    world.recipe("recipe.toml", &[]);
    world.ok(&["check", "recipe.toml"]);
}

#[test]
fn a_dry_run_measures_a_step_and_leaves_nothing() {
    let world = World::new(&[]);
    let output = world.run(&["train", "recipe.toml", "--dry-run"]);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("measuring the time of a step"), "{notes}");
    let said = String::from_utf8(output.stdout).unwrap();
    let table = said.lines().skip_while(|line| !line.starts_with("memory on"));
    let parts: Vec<&str> = table.take_while(|line| !line.contains("are available")).skip(1).collect();
    assert!(parts.len() > 2 && parts.iter().all(|line| line.contains(" MiB")), "{said}");
    assert!(
        said.contains("peak") && said.contains("a step takes ") && said.contains("6 steps about"),
        "{said}"
    );
    assert!(!world.path("runs").exists());
    let is_whole = |said: &str| said.contains("[optimizer]");
    let verbose = world.ok(&["train", "recipe.toml", "--dry-run", "--verbose"]);
    assert!(!is_whole(&said) && is_whole(&verbose), "{verbose}");
    for method in ["full", "vae"] {
        world.recipe("recipe.toml", &[(LORA, &format!("method = \"{method}\""))]);
        let said = world.ok(&["train", "recipe.toml", "--dry-run"]);
        assert!(said.contains("a step takes "), "{said}");
    }
}

#[test]
fn a_recipe_without_a_size_has_the_models() {
    let world = World::new(&[("width = 64, height = 64, ", ""), ("steps = 6", "steps = 1")]);
    let config = |part: &str| -> serde_json::Value {
        serde_json::from_slice(&world.bytes(&format!("tiny/{part}/config.json"))).unwrap()
    };
    let halvings = config("vae")["block_out_channels"].as_array().unwrap().len() - 1;
    let side = config("unet")["sample_size"].as_u64().unwrap() << halvings;
    let said = world.ok(&["train", "recipe.toml"]);
    assert!(said.contains(&format!("; {side} x {side} pixels")), "{said}");
    let output = world.run(&["check", "recipe.toml"]);
    assert!(output.status.success() && !String::from_utf8(output.stderr).unwrap().contains("times those"));
}

#[test]
fn a_way_to_a_recipe_is_named_where_there_is_none() {
    let world = World::new(&[]);
    let error = world.fails(&["train", "people"]);
    assert!(error.contains("fairhuman init people"), "{error}");
    let error = world.fails(&["train", "absent.toml"]);
    assert!(error.contains("fairhuman init DATASET"), "{error}");
}

#[test]
fn training_says_that_nothing_is_held_out() {
    let world = World::new(&[("share = 0.2, ", ""), ("steps = 6", "steps = 1")]);
    let said = world.ok(&["train", "recipe.toml"]);
    assert!(said.contains("nothing is held out") && said.contains("share = 0.1"), "{said}");
    // So does `init`, which holds out nothing of ten pictures.
    let output = world.run(&["init", "people", "--model", "tiny", "--recipe", "few.toml"]);
    let note = String::from_utf8(output.stderr).unwrap();
    let told = said.lines().find(|line| line.starts_with("nothing is held out")).unwrap();
    assert!(output.status.success() && note.contains(told), "{note}");
    let recipe = String::from_utf8(world.bytes("few.toml")).unwrap();
    assert!(recipe.contains("nothing is held out") && recipe.contains("# share = 0.1"), "{recipe}");
    world.recipe("other.toml", &[("steps = 6", "steps = 1")]);
    let said = world.ok(&["train", "other.toml"]);
    assert!(!said.contains("nothing is held out"), "{said}");
}

#[test]
fn pictures_without_a_folder_go_into_a_new_one_and_replaced_ones_are_told() {
    let world = World::new(&[]);
    let sample = ["sample", "--model", "tiny", "--prompt", "a man", "--steps", "1"];
    let said = world.ok(&sample);
    assert!(said.contains("in pictures ("), "{said}");
    let first = world.bytes("pictures/0000.png");
    let said = world.ok(&[&sample[..], &["--seed", "1"]].concat());
    assert!(said.contains("in pictures-2 ("), "{said}");
    assert!(world.bytes("pictures/0000.png") == first && world.bytes("pictures-2/0000.png") != first);
    let output = world.run(&[&sample[..], &["--out", "pictures"]].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.contains("2 files of an earlier command"), "{error}");
}
