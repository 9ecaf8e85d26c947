//! Checkpoints in one file, wherever a model is named: the same as the folder that they came from.
//! (`reference/single_file_golden.py` wrote both.)

use std::path::Path;

use fairhuman_pictures::png_texts;
use fairhuman_train::recorded::read_tensors;

use crate::world::World;

/// The folder, with tokenizers, as `folder`, and the file as `model.safetensors`.
fn world() -> World {
    let world = World::new(&[(
        "model.path = \"tiny\"",
        "model = { path = \"model.safetensors\", base = \"folder\" }",
    )]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/single_file");
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    };
    copy(&golden.join("folder"), &world.path("folder"));
    for part in ["unet", "vae", "text_encoder", "text_encoder_2", "scheduler"] {
        copy(&golden.join("folder").join(part), &world.path("folder").join(part));
    }
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../builtin/model");
    for part in ["tokenizer", "tokenizer_2"] {
        copy(&builtin.join(part), &world.path("folder").join(part));
    }
    let index = String::from_utf8(world.bytes("folder/model_index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_str(&index).unwrap();
    for part in ["tokenizer", "tokenizer_2"] {
        index[part] = serde_json::json!(["transformers", "CLIPTokenizer"]);
    }
    std::fs::write(world.path("folder/model_index.json"), index.to_string()).unwrap();
    std::fs::copy(golden.join("whole.safetensors"), world.path("model.safetensors")).unwrap();
    world
}

fn sample(world: &World, model: &[&str], out: &str) -> Vec<u8> {
    let mut arguments =
        vec!["sample", "--prompt", "a woman waves", "--steps", "3", "--seed", "3", "--out", out, "--model"];
    arguments.extend(model);
    world.ok(&arguments);
    image::open(world.path(out).join("0000.png")).unwrap().to_rgb8().into_raw()
}

const FILE: [&str; 3] = ["model.safetensors", "--base", "folder"];

#[test]
fn folder_and_file_draw_the_same_picture_also_with_a_lora_merged_in() {
    let world = world();
    let picture = sample(&world, &["folder"], "of-folder");
    assert_eq!(picture, sample(&world, &FILE, "of-file"));
    let texts = png_texts(&world.bytes("of-file/0000.png"));
    let about = texts.iter().find(|(key, _)| key == "fairhuman").unwrap();
    let about: serde_json::Value = serde_json::from_str(&about.1).unwrap();
    assert_eq!((&about["model"], &about["base"]), (&"model.safetensors".into(), &"folder".into()));
    assert!(texts.iter().all(|(_, text)| !text.contains("user-cache")), "{texts:?}");
    assert!(picture.iter().any(|&v| v != picture[0]), "a picture of one colour shows nothing");

    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let lora = ["--lora", "run/lora.safetensors"];
    world.ok(&[&["merge", "--model"][..], &FILE, &lora, &["--out", "merged"]].concat());
    std::fs::remove_file(world.path("model.safetensors")).unwrap();
    let merged = sample(&world, &["merged"], "of-merged");
    let added = sample(&world, &[&["folder"][..], &lora].concat(), "of-lora");
    let difference: f64 = merged.iter().zip(&added).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    assert!(difference / (merged.len() as f64) < 1.0, "merged weights are rounded to bf16");
    assert_ne!(merged, picture);
}

#[test]
fn a_yaml_file_that_comes_later_is_not_too_late() {
    let world = world();
    let prediction = |out: &str| {
        world.ok(&[&["convert", "--model"][..], &FILE, &["--out", out]].concat());
        let schedule = world.bytes(&format!("{out}/scheduler/scheduler_config.json"));
        let schedule: serde_json::Value = serde_json::from_slice(&schedule).unwrap();
        schedule["prediction_type"].as_str().unwrap().to_owned()
    };
    assert_eq!(prediction("before"), "epsilon");
    std::fs::write(world.path("model.yaml"), "parameterization: \"v\"").unwrap();
    assert_eq!(prediction("after"), "v_prediction");
}

#[test]
fn a_run_on_a_file_goes_on_where_the_file_was_moved_and_not_with_another() {
    let world = world();
    let said = world.run(&["train", "recipe.toml", "--out", "whole"]);
    let said = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(said[0].contains("of model.safetensors (base folder)"), "{said:?}");
    assert!(said[1].contains("--model model.safetensors --base folder --lora"), "{said:?}");
    let resolved = String::from_utf8(world.bytes("whole/recipe.toml")).unwrap();
    assert!(
        resolved.contains("path = \"model.safetensors\"") && resolved.contains("base = \"folder\""),
        "{resolved}"
    );
    assert!([said.concat(), resolved].iter().all(|text| !text.contains("user-cache")));
    world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "3"]);
    std::fs::create_dir(world.path("models")).unwrap();
    std::fs::rename(world.path("model.safetensors"), world.path("models/renamed.safetensors")).unwrap();
    let model = "model = { path = \"models/renamed.safetensors\", base = \"folder\" }";
    world.recipe("recipe.toml", &[("model.path = \"tiny\"", model)]);
    let mut bytes = world.bytes("models/renamed.safetensors");
    let at = bytes.len() - 2;
    bytes[at] ^= 1;
    std::fs::write(world.path("models/other.safetensors"), &bytes).unwrap();
    world.recipe("other.toml", &[("model.path = \"tiny\"", &model.replace("renamed", "other"))]);
    let error = world.fails(&["train", "other.toml", "--out", "parts"]);
    assert!(error.contains("are not those that the run"), "{error}");
    world.ok(&["train", "recipe.toml", "--out", "parts"]);
    let learnt = |run: &str| read_tensors(&world.path(run).join("lora.safetensors")).unwrap().tensors;
    assert_eq!(learnt("whole"), learnt("parts"));
}

#[test]
fn what_is_missing_is_told_by_every_command() {
    let world = world();
    let error = world.fails(&["sample", "--prompt", "a", "--out", "p", "--model", "model.safetensors"]);
    assert!(error.contains("--base FOLDER"), "{error}");
    world.recipe("lora.toml", &[("model.path = \"tiny\"", "model.path = \"run/lora.safetensors\"")]);
    world.recipe("tiny.toml", &[]);
    world.ok(&["train", "tiny.toml", "--out", "run"]);
    for command in ["check", "train"] {
        let error = world.fails(&[command, "lora.toml"]);
        assert!(error.contains("a LoRA: name it with --lora"), "{command}: {error}");
    }
    world.recipe(
        "builtin.toml",
        &[("model.path = \"tiny\"", "model.path = \"builtin\""), ("steps = 6", "steps = 1")],
    );
    world.ok(&["train", "builtin.toml", "--out", "of-builtin"]);
    let resolved = String::from_utf8(world.bytes("of-builtin/recipe.toml")).unwrap();
    assert!(resolved.contains("path = \"builtin\""), "{resolved}");
}

#[test]
fn a_folder_and_a_file_become_each_other() {
    let world = world();
    let own = read_tensors(&world.path("model.safetensors")).unwrap().tensors;
    // The file as it was: written from its view, and from the folder.
    for (model, out) in [(&FILE[..], "a.safetensors"), (&["folder"], "b.safetensors")] {
        let said = world.run(&[&["convert", "--out", out, "--model"], model].concat());
        let note = String::from_utf8(said.stderr).unwrap();
        assert!(said.status.success() && note.contains(&format!("--model {out} --base folder")), "{note}");
        let written = read_tensors(&world.path(out)).unwrap();
        for (name, tensor) in &written.tensors {
            assert_eq!(Some(tensor), own.get(name), "{name}");
        }
        let left: Vec<_> = own.keys().filter(|name| !written.tensors.contains_key(*name)).collect();
        assert!(
            left.iter().all(|name| ["logit_scale", "position_ids", "denoiser.sigmas"]
                .iter()
                .any(|end| name.ends_with(end))),
            "{left:?}"
        );
        assert_eq!(written.metadata["modelspec.architecture"], "stable-diffusion-xl-v1-base");
        assert!(written.metadata["modelspec.hash_sha256"].starts_with("0x"));
    }
    world.ok(&[&["convert", "--out", "again", "--model"][..], &["b.safetensors", "--base", "folder"]].concat());
    let again = [&["again"][..], &["a.safetensors", "--base", "folder"]]
        .map(|model| sample(&world, model, "of-again"));
    assert_eq!(again[0], again[1]);
    assert_eq!(again[0], sample(&world, &["folder"], "of-folder"));
    // Nothing is written over.
    for out in ["b.safetensors", "again"] {
        let error = world.fails(&["convert", "--model", "folder", "--out", out]);
        assert!(error.contains("there already"), "{error}");
    }
}

#[test]
fn a_lora_is_merged_into_one_file() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let lora = ["--model", "tiny", "--lora", "run/lora.safetensors"];
    world.ok(&[&["merge", "--out", "merged"], &lora[..]].concat());
    let said = world.run(&[&["merge", "--out", "merged.safetensors"], &lora[..]].concat());
    assert!(String::from_utf8_lossy(&said.stderr).contains("--base tiny"), "{said:?}");
    let file = ["merged.safetensors", "--base", "tiny"];
    assert_eq!(sample(&world, &["merged"], "a"), sample(&world, &file, "b"));
    let left = std::fs::read_dir(world.path("")).unwrap().flatten();
    assert!(!left.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(".merged")));
}
