//! Models by their names on the Hugging Face Hub: downloaded from a server of the tests' own, and found in
//! the cache wherever a model is named.

use std::path::Path;
use std::process::Output;

use fairhuman_pictures::png_texts;

use crate::world::World;

#[path = "../../../hub/tests/it/server.rs"]
mod server;
use server::Server;

fn run(world: &World, endpoint: &str, arguments: &[&str]) -> Output {
    let mut command = world.command(arguments);
    command.env("HF_HOME", world.path("hf")).env("HF_ENDPOINT", endpoint).env_remove("HF_HUB_CACHE");
    command.env_remove("HF_HUB_OFFLINE").env_remove("HF_TOKEN").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_name_on_the_hub_is_downloaded_once_and_then_stands_for_a_model() {
    let world = World::new(&[("model.path = \"tiny\"", "model.path = \"org/people\"")]);
    let names = world.files("tiny");
    let all: Vec<_> = names.iter().map(|name| (&**name, world.bytes(&format!("tiny/{name}")))).collect();
    let server = Server::start(&all);
    let draw = |model: &str, out: &str| {
        let arguments =
            ["sample", "--prompt", "a woman", "--steps", "2", "--seed", "3", "--model", model, "--out", out];
        run(&world, &server.endpoint, &arguments)
    };
    let before = draw("org/people", "nothing");
    assert!(!before.status.success());
    assert!(said(&before).contains("fairhuman models get org/people"), "{}", said(&before));
    let checked = run(&world, &server.endpoint, &["check", "recipe.toml"]);
    assert!(!checked.status.success());

    let got = run(&world, &server.endpoint, &["models", "get", "org/people"]);
    assert!(got.status.success(), "{}", said(&got));
    let snapshot = String::from_utf8(got.stdout).unwrap();
    assert!(Path::new(snapshot.trim()).join("unet/config.json").is_file(), "{snapshot}");

    // By name, by the folder that caches have, in a recipe: the picture and the training of the folder
    // itself.
    let picture = |out: &str| image::open(world.path(out).join("0000.png")).unwrap().to_rgb8().into_raw();
    for (model, out) in [("tiny", "a"), ("org/people", "b"), ("hf/hub/models--org--people", "c")] {
        let drawn = draw(model, out);
        assert!(drawn.status.success(), "{}", said(&drawn));
        assert_eq!(picture(out), picture("a"), "{model}");
        // The picture names the model as the command did, not the place in the cache.
        let texts = png_texts(&world.bytes(&format!("{out}/0000.png")));
        let text = |key: &str| texts.iter().find(|(k, _)| k == key).map(|(_, text)| text.clone()).unwrap();
        let about: serde_json::Value = serde_json::from_str(&text("fairhuman")).unwrap();
        assert_eq!(about["model"], model);
        let last = model.rsplit('/').next().unwrap();
        assert!(text("parameters").contains(&format!("Model: {last},")), "{texts:?}");
    }
    for command in ["check", "train"] {
        let done = run(&world, &server.endpoint, &[command, "recipe.toml"]);
        assert!(done.status.success(), "{}", said(&done));
    }
    let resolved = String::from_utf8(world.bytes("runs/recipe/recipe.toml")).unwrap();
    assert!(resolved.contains("path = \"org/people\""), "{resolved}");

    // Nobody was asked but for the download.
    server.log();
    assert!(draw("org/people", "e").status.success());
    assert_eq!(server.log(), [""; 0]);

    // A part of it is gone, as after a download that was broken off.
    let weights = Path::new(snapshot.trim()).join("vae/diffusion_pytorch_model.safetensors");
    std::fs::remove_file(weights.canonicalize().unwrap()).unwrap();
    let broken = draw("org/people", "d");
    assert!(!broken.status.success() && said(&broken).contains("without vae"), "{}", said(&broken));
    assert!(run(&world, &server.endpoint, &["models", "get", "org/people"]).status.success());
    assert!(draw("org/people", "d").status.success());
}

#[test]
fn what_is_no_name_on_the_hub_or_cannot_be_had_is_told() {
    let world = World::new(&[]);
    let server = Server::start(&[("readme.txt", b"no model".to_vec())]);
    for (name, expected) in [
        ("https://civitai.com/api/download/models/1", "browser"),
        ("people", "org/name"),
        ("org/gated", "licence"),
        ("org/nobody", "misspelt"),
        ("org/people", ".safetensors"),
    ] {
        let got = run(&world, &server.endpoint, &["models", "get", name]);
        assert_eq!(got.status.code(), Some(1), "{}", said(&got));
        assert!(said(&got).contains(expected), "{}", said(&got));
    }
    let mut offline = world.command(&["models", "get", "org/people"]);
    let offline = offline.env("HF_HUB_OFFLINE", "1").env("HF_HOME", world.path("hf")).output().unwrap();
    assert!(said(&offline).contains("HF_HUB_OFFLINE"), "{}", said(&offline));
}
