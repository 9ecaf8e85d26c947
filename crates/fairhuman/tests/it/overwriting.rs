//! No command replaces what it did not make: models, pictures, lists and pages of others stay as they are.

use std::collections::BTreeMap;
use std::path::Path;

use crate::world::World;

const LORA: &str = "lora = { rank = 2, targets = [\"attention\", \"conv\"] }";
const FLIP: &str = "flip = 0.5 }";
const DATASET: &str = "dataset.path = \"people\"";

/// Every file below `folder` with its bytes.
fn content(world: &World, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let files = world.files(folder).into_iter();
    files.map(|file| (file.clone(), world.bytes(&format!("{folder}/{file}")))).collect()
}

/// Runs a command that must fail, and must leave `kept` as it is; its message.
fn refused(world: &World, kept: &str, arguments: &[&str]) -> String {
    let before = content(world, kept);
    let error = world.fails(arguments);
    assert!(!before.is_empty() && content(world, kept) == before, "{arguments:?} changed {kept}");
    error
}

fn control_recipe(world: &World, method: &str, table: &str) {
    let table = format!("method = \"{method}\"\n{method} = {{ {table} }}");
    let dataset = format!("{DATASET}\ndataset.conditioning = \"conditioning_image\"");
    world.recipe("control.toml", &[(LORA, &table), (FLIP, "flip = 0.0 }"), (DATASET, &dataset)]);
}

#[test]
fn a_control_network_is_not_replaced_by_the_one_that_is_trained_from_it() {
    let world = World::new(&[]);
    world.ok(&["control", "people"]);
    let init = ["init-control", "--model", "tiny", "--random", "--out"];
    world.ok(&[&init[..], &["x/controlnet"]].concat());
    control_recipe(&world, "controlnet", "path = \"x/controlnet\"");
    let error = refused(&world, "x", &["train", "control.toml", "--out", "x"]);
    assert!(error.contains("which is read"), "{error}");
    #[cfg(unix)]
    {
        world.ok(&[&init[..], &["cn"]].concat());
        std::fs::create_dir(world.path("y")).unwrap();
        std::os::unix::fs::symlink("../cn", world.path("y/controlnet")).unwrap();
        control_recipe(&world, "controlnet", "path = \"cn\"");
        refused(&world, "cn", &["train", "control.toml", "--out", "y"]);
    }
    let kind = ["--kind", "t2i-xl", "--file", "z/t2i-adapter.safetensors"];
    world.ok(&[&init[..], &["adapter"], &kind].concat());
    let error = refused(&world, "z", &[&init[..], &["adapter2"], &kind].concat());
    assert!(error.contains("is there already"), "{error}");
    control_recipe(&world, "t2i-adapter", "path = \"z/t2i-adapter.safetensors\"");
    refused(&world, "z", &["train", "control.toml", "--out", "z"]);
}

#[test]
#[cfg(unix)]
fn a_model_whose_part_is_a_link_into_the_run_folder_is_kept() {
    let world = World::new(&[(LORA, "method = \"full\"")]);
    std::fs::create_dir_all(world.path("x/model")).unwrap();
    std::fs::rename(world.path("tiny/unet"), world.path("x/model/unet")).unwrap();
    std::os::unix::fs::symlink("../x/model/unet", world.path("tiny/unet")).unwrap();
    let error = refused(&world, "x", &["train", "recipe.toml", "--out", "x"]);
    assert!(error.contains("holds the model"), "{error}");
}

#[test]
fn a_run_begins_in_no_folder_that_holds_what_it_would_replace() {
    let world = World::new(&[]);
    world.recipe("full.toml", &[(LORA, "method = \"full\"")]);
    let put = |file: &str, text: &str| {
        std::fs::create_dir_all(world.path(file).parent().unwrap()).unwrap();
        std::fs::write(world.path(file), text).unwrap();
    };
    put("a/model/notes.txt", "all that there is");
    put("b/lora.safetensors", "another's");
    put("c/recipe.toml", "steps = 7");
    for (recipe, out) in [("full.toml", "a"), ("recipe.toml", "b"), ("recipe.toml", "c")] {
        let error = world.fails(&["train", recipe, "--out", out]);
        assert!(error.contains("would replace it"), "{error}");
    }
    assert_eq!(world.bytes("a/model/notes.txt"), b"all that there is");
    assert_eq!(world.bytes("b/lora.safetensors"), b"another's");
    assert_eq!(world.bytes("c/recipe.toml"), b"steps = 7");
}

#[test]
fn a_run_whose_checkpoints_are_gone_is_not_begun_anew_over_its_results() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    std::fs::remove_dir_all(world.path("run/checkpoints")).unwrap();
    let (log, lora) = (world.bytes("run/events.jsonl"), world.bytes("run/lora.safetensors"));
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("checkpoints are gone"), "{error}");
    assert!(world.bytes("run/events.jsonl") == log && world.bytes("run/lora.safetensors") == lora);
}

#[test]
fn control_images_replace_no_pictures_of_others() {
    let world = World::new(&[]);
    world.ok(&["control", "people"]);
    world.ok(&["control", "people"]);
    let depth = world.path("people/conditioning/00003.png");
    std::fs::copy(world.path("people/images/00003.png"), &depth).unwrap();
    let error = refused(&world, "people", &["control", "people"]);
    assert!(error.contains("00003.png is there already"), "{error}");
    let error = refused(&world, "people", &["control", "people/images", "--out", "people/masks/hand"]);
    assert!(error.contains("is there already"), "{error}");

    std::fs::remove_dir_all(world.path("people/conditioning")).unwrap();
    let list = String::from_utf8(world.bytes("people/metadata.jsonl")).unwrap();
    let others = list.replace("conditioning/00004.png", "depth/4.png");
    std::fs::write(world.path("people/metadata.jsonl"), others).unwrap();
    let error = refused(&world, "people", &["control", "people"]);
    assert!(error.contains("line 5") && error.contains("depth/4.png"), "{error}");
}

#[test]
fn pages_and_pictures_replace_their_own_kind_only() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    for again in ["", " again"] {
        world.ok(&["report", "run", "--out", "report.html", "--pictures", "0"]);
        world.ok(&["check", "recipe.toml", "--html", "check.html"]);
        world.ok(&["sample", "--model", "tiny", "--prompt", "a man", "--steps", "1", "--out", "pictures"]);
        assert!(world.path("pictures/grid.png").is_file(), "{again}");
    }
    let checkpoint = world.files("run/checkpoints").pop().unwrap();
    for file in [&format!("run/checkpoints/{checkpoint}"), "run/lora.safetensors", "people/metadata.jsonl"] {
        let folder = Path::new(file).components().next().unwrap().as_os_str().to_str().unwrap();
        for command in [&["report", "run", "--out"][..], &["check", "recipe.toml", "--html"]] {
            refused(&world, folder, &[command, &[file]].concat());
        }
    }
    std::fs::copy(world.path("people/images/00001.png"), world.path("pictures/0000.png")).unwrap();
    let sample = ["sample", "--model", "tiny", "--prompt", "a man", "--steps", "1", "--out", "pictures"];
    refused(&world, "pictures", &sample);
}
