//! `fairhuman refine` with the detectors, on a photograph: what is found, and that the better is kept.

use image::RgbImage;
use serde_json::Value;

use crate::annotate::{networks, shipped};
use crate::world::World;

/// The photograph of an astronaut, 512 x 512, and a random model, which cannot draw.
fn world() -> World {
    let world = World::empty();
    world.ok(&["init-model", "--preset", "tiny", "--out", "tiny"]);
    std::fs::create_dir(world.path("in")).unwrap();
    std::fs::copy(shipped("photos/astronaut.png"), world.path("in/a.png")).unwrap();
    world
}

fn refine(world: &World, models: &str, out: &str, more: &[&str]) -> (Value, RgbImage) {
    let all = [
        "refine",
        "in",
        "--out",
        out,
        "--model",
        "tiny",
        "--models",
        models,
        "--steps",
        "4",
        "--inpaint-width",
        "64",
        "--inpaint-height",
        "64",
        "--prompt",
        "an astronaut",
    ];
    world.ok(&[&all[..], more].concat());
    let report: Value = serde_json::from_slice(&world.bytes(&format!("{out}/report.json"))).unwrap();
    let picture = image::open(world.path(format!("{out}/a.png"))).unwrap().into_rgb8();
    (report["pictures"][0].clone(), picture)
}

#[test]
fn a_face_that_is_lost_keeps_its_original_and_one_that_is_not_changed_is_kept() {
    let Some(models) = networks() else { return };
    let world = world();
    let before = image::open(world.path("in/a.png")).unwrap().into_rgb8();

    let (told, picture) = refine(&world, &models, "lost", &["--denoising-strength", "1"]);
    let face = &told["regions"][0];
    assert_eq!(face["kind"], "face");
    assert!(face["before"].as_f64().unwrap() > 0.8, "{face}");
    assert!(["lost", "worse"].contains(&face["verdict"].as_str().unwrap()), "{face}");
    assert_eq!(picture, before, "the original came back, byte for byte");

    // Nothing is walked: the face is what the autoencoder makes of it, or that is lost, too.
    let (told, picture) =
        refine(&world, &models, "kept", &["--denoising-strength", "1", "--mask-max-ratio", "0.001"]);
    assert_eq!(told["regions"].as_array().unwrap().len(), 0);
    assert_eq!(picture, before);
}

#[test]
fn regions_that_annotate_found_serve_as_well() {
    let Some(models) = networks() else { return };
    let world = world();
    world.ok(&["annotate", "in", "--out", "data", "--models", &models]);
    let (told, _) = refine(&world, "none", "out", &["--regions", "data", "--denoising-strength", "0.5"]);
    let face = &told["regions"][0];
    assert_eq!((&face["kind"], &face["verdict"]), (&"face".into(), &"unchecked".into()));
    let (found, _) = refine(&world, &models, "found", &["--denoising-strength", "0.5"]);
    assert_eq!(found["regions"][0]["box"], face["box"]);
}

#[test]
fn drawn_people_are_refined_by_the_built_in_model_at_their_key_points() {
    let world = World::empty();
    world.ok(&[
        "people",
        "--count",
        "2",
        "--size",
        "96",
        "--seed",
        "7",
        "--figures",
        "1",
        "--near",
        "100",
        "--out",
        "people",
    ]);
    let refine = |more: &[&str]| {
        let all = [
            "refine",
            "people/images",
            "--out",
            "out",
            "--regions",
            "people",
            "--models",
            "none",
            "--steps",
            "4",
            "--prompt",
            "a woman waves",
        ];
        world.ok(&[&all[..], more].concat())
    };
    let said = refine(&["--mask-max-ratio", "1"]);
    assert!(said.contains("2 pictures") && said.contains("refined, not checked"), "{said}");
    let report: Value = serde_json::from_slice(&world.bytes("out/report.json")).unwrap();
    assert!(report["regions"]["unchecked"].as_u64().unwrap() >= 2, "{report}");
    assert_eq!(report["settings"]["model"]["name"], "builtin");
    assert!(
        !report.to_string().contains("user-cache"),
        "a path of the cache is dead when that is emptied: {report}"
    );
}

#[test]
fn a_network_of_ones_own_finds_the_hands() {
    let Some(models) = networks() else { return };
    let world = world();
    let network = shipped("models/yolo11-random.onnx").display().to_string();
    let hands = |out: &str, more: &[&str]| {
        let all =
            ["refine", "in", "--out", out, "--model", "tiny", "--models", &models, "--no-zoom", "--dry-run"];
        let told = world.run(&[&all[..], &["--prompt", "an astronaut"], more].concat());
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        told.lines().filter(|line| line.contains(" hand at ")).count()
    };
    let own = ["--hands", &network, "--hand-class", "0,1", "--confidence", "0"];
    let (without, with) = (hands("plain", &[]), hands("own", &own));
    assert!(with > without, "{with} and {without}");
    // Masks by hand do not need detectors; a network that was asked for is not left out in silence.
    let own = ["refine", "in", "--out", "o", "--model", "tiny", "--models", "nowhere", "--faces", "in/a.png"];
    let error = world.fails(&[&own[..], &["--masks", "in"]].concat());
    assert!(error.contains("nowhere"), "{error}");
}
