//! `fairhuman evaluate` from outside: folders of drawn people compared, gone on with, and refused.

use fairhuman_files::sha256_hex;
use serde_json::Value;

use crate::annotate::shipped;
use crate::world::World;

/// People drawn in two ways from the same seed: the same captions, other pictures.
fn two_folders() -> World {
    let world = World::empty();
    for (style, out) in [("soft", "soft"), ("ink", "ink")] {
        world.ok(&[
            "people",
            "--count",
            "12",
            "--size",
            "96",
            "--seed",
            "3",
            "--figures",
            "1",
            "--near",
            "100",
            "--style",
            style,
            "--out",
            out,
        ]);
    }
    world
}

fn json(world: &World, name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(world.path(name)).unwrap()).unwrap()
}

/// A line with another object, and the digest of that.
fn forged(line: &str, change: impl Fn(&str) -> String) -> String {
    let (fields, _) = line.rsplit_once(",\"digest\":\"").unwrap();
    let object = change(&format!("{fields}}}"));
    let digest = sha256_hex(object.as_bytes());
    format!("{},\"digest\":\"{digest}\"}}\n", &object[..object.len() - 1])
}

#[test]
fn two_folders_are_compared_on_one_page_and_nothing_is_scored_twice() {
    let world = two_folders();
    std::fs::remove_file(world.path("ink/images/00004.png")).unwrap();
    let words = ["evaluate", "soft", "ink", "--judge", "drawn", "--out", "out"];
    let said = world.ok(&words);
    assert!(said.contains("ink: 11 pictures, 1 missing, such as \"images/00004.png\""), "{said}");
    assert!(said.contains("soft and ink: 11 pairs; 1 pictures without a partner"), "{said}");
    assert!(said.contains("drawn.two_eyes: soft "), "{said}");

    let scores = std::fs::read_to_string(world.path("out/scores.jsonl")).unwrap();
    let lines: Vec<Value> = scores.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 23 * 5);
    assert!(lines.iter().any(|line| line["judge"] == "drawn.gesture" && line["score"].is_null()));
    let summary = json(&world, "out/summary.json");
    assert_eq!(summary["folders"][1]["missing"][0], "images/00004.png");
    assert_eq!(summary["comparisons"][0]["pairs"], 11);
    assert_eq!(summary["comparisons"][0]["only_first"][0], "images/00004.png");
    let face = &summary["comparisons"][0]["differences"]["drawn.face"];
    assert_eq!((face["pairs"].as_u64(), face["unscored"].as_u64()), (Some(11), Some(0)));
    assert_eq!(summary["levels"][0]["drawn.face"]["mean"], 1.0);
    for key in ["mean", "percentile", "corrected", "win_rate", "win_interval", "p", "p_holm", "detectable"] {
        assert!(!face[key].is_null() || key == "win_rate", "no {key} in {face}");
    }
    let page = std::fs::read_to_string(world.path("out/report.html")).unwrap();
    for part in ["ink beside soft", "drawn.eye_confidence", "data:image/png", "Definitions", "by percentiles"]
    {
        assert!(page.contains(part), "no {part} on the page");
    }

    // Again, from the file: what it says is taken where its lines are whole, and made again where they are
    // altered.
    let (line, rest) = scores.split_once('\n').unwrap();
    let forged = forged(line, |object| object.replace("\"score\":1.0", "\"score\":0.25")) + rest;
    assert_ne!(forged, scores);
    std::fs::write(world.path("out/scores.jsonl"), &forged).unwrap();
    world.ok(&words);
    assert_eq!(std::fs::read_to_string(world.path("out/scores.jsonl")).unwrap(), forged);
    let altered = scores.replacen("\"score\":1.0", "\"score\":0.25", 1);
    std::fs::write(world.path("out/scores.jsonl"), altered).unwrap();
    let output = world.run(&words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("out/scores.jsonl: 1 line cut or altered"), "{said}");
    assert_eq!(std::fs::read_to_string(world.path("out/scores.jsonl")).unwrap(), scores);
    let said = world.fails(&[&words[..], &["--model", "builtin"]].concat());
    assert!(said.contains("--losses"), "{said}");
    let list = "{\"picture\": \"images/00000.png\", \"prompt\": \"a cat\"}\n";
    std::fs::write(world.path("list.jsonl"), list).unwrap();
    let output =
        world.run(&["evaluate", "soft", "--judge", "drawn", "--prompts", "list.jsonl", "--out", "own"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("soft is read by its own metadata.jsonl, and not by --prompts"), "{said}");
    let said = world.fails(&[&words[..], &["--sort", "beauty"]].concat());
    assert!(said.contains("expected one of drawn.face"), "{said}");
}

#[test]
fn what_cannot_be_evaluated_is_refused_before_anything_is_written() {
    let world = two_folders();
    let refused = |words: &[&str]| world.fails(&[&["evaluate"], words].concat());
    let said = refused(&["soft", "soft", "--judge", "drawn", "--out", "out"]);
    assert!(said.contains("soft is named twice"), "{said}");
    let said = refused(&["soft", "--judge", "drawn", "--out", "soft/images"]);
    assert!(said.contains("which is read: choose another place"), "{said}");
    let said = refused(&["soft", "nothing", "--judge", "drawn", "--out", "out"]);
    assert!(said.contains("a folder of pictures, nothing: there is no such"), "{said}");
    for (option, path, what) in [
        ("--prompts", "nothing.txt", "the file of prompts, nothing.txt: there is no such"),
        ("--reference", "nothing", "the reference, nothing: there is no such"),
        ("--judge", "clip=nothing", "the weights of a judge, nothing: there is no such"),
    ] {
        let said = refused(&["soft", option, path, "--out", "out"]);
        assert!(said.contains(what), "{said}");
    }
    assert!(!world.path("out").exists());
    std::fs::create_dir(world.path("out")).unwrap();
    std::fs::write(world.path("out/scores.jsonl"), "my notes\n").unwrap();
    let said = refused(&["soft", "--judge", "drawn", "--out", "out"]);
    assert!(said.contains("holds no scores"), "{said}");
    std::fs::write(world.path("hps.pt"), "PK").unwrap();
    let said = refused(&["soft", "--judge", "hps=hps.pt", "--out", "out2"]);
    assert!(said.contains("is a pickle") && said.contains("hps.safetensors"), "{said}");
    let said = refused(&["soft", "--judge", "aesthetic=hps.pt", "--out", "out2"]);
    assert!(said.contains("name it, too, as --judge clip=DIR"), "{said}");
}

/// The whole way with networks of the CLIP kind, DINOv2 and a reference, on small random models.
#[test]
fn judges_with_weights_score_pictures_and_sets() {
    let world = two_folders();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../evaluate/tests/data");
    let hps = format!("hps={data}/clip/open_clip/hps.safetensors");
    // Its tokenizer knows more tokens than this small model.
    let said = world.fails(&["evaluate", "soft", "--judge", &hps, "--out", "out"]);
    assert!(said.contains("the tokenizer of another model?"), "{said}");
    let cmmd = format!("cmmd={data}/clip/transformers");
    let said = world.ok(&[
        "evaluate",
        "soft",
        "ink",
        "--judge",
        "drawn",
        "--judge",
        &cmmd,
        "--reference",
        "soft",
        "--out",
        "out",
    ]);
    assert!(said.contains("cmmd to soft: soft ") && said.contains("(of 12)"), "{said}");
    let summary = json(&world, "out/summary.json");
    let values = &summary["distances"][0]["values"];
    assert!(values[0].as_f64().unwrap().abs() < 1e-6 && values[1].as_f64().unwrap() > 1e-6, "{values}");
}

/// With the detectors: the same pictures have the same faces and hands.
#[test]
fn features_of_pictures_and_regions_are_kept() {
    let Some(models) = crate::annotate::networks() else { return };
    let world = two_folders();
    let dino = concat!("dino=", env!("CARGO_MANIFEST_DIR"), "/../evaluate/tests/data/dino");
    let words = ["evaluate", "soft", "ink", "--judge", dino, "--reference", "soft", "--models", &models];
    let words = [&words[..], &["--out", "out"]].concat();
    let first = world.ok(&words);
    assert!(first.contains("dino.kid to soft: soft "), "{first}");
    let lines = std::fs::read_to_string(world.path("out/features.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 24, "those of the reference are those of the first folder");
    assert!(first.contains("dino.face_kid") == lines.contains("\"face\""), "{first}");
    assert_eq!(world.ok(&words), first);
    assert_eq!(std::fs::read_to_string(world.path("out/features.jsonl")).unwrap(), lines);
    std::fs::write(world.path("out/features.jsonl"), "my notes\n").unwrap();
    assert!(world.fails(&words).contains("holds no features"));
    let words = ["evaluate", "soft", "--judge", dino, "--out", "soft"];
    assert!(world.fails(&words).contains("which is read: choose another place"));
}

/// With the detectors: what they find in a reference is taken from the file where that says it.
#[test]
fn the_detectors_look_at_a_reference_picture_once() {
    let Some(models) = crate::annotate::networks() else { return };
    let world = World::empty();
    for folder in ["made", "photos"] {
        std::fs::create_dir(world.path(folder)).unwrap();
        std::fs::copy(shipped("photos/astronaut.png"), world.path(format!("{folder}/a.png"))).unwrap();
        let list = "{\"picture\": \"a.png\", \"prompt\": \"an astronaut\"}\n";
        std::fs::write(world.path(format!("{folder}/metadata.jsonl")), list).unwrap();
    }
    let overlap = || {
        world.ok(&["evaluate", "made", "--reference", "photos", "--models", &models, "--out", "out"]);
        json(&world, "out/summary.json")["levels"][0]["face.iou"]["mean"].as_f64()
    };
    assert!(overlap().unwrap() > 0.99);
    let kept = String::from_utf8(world.bytes("out/reference.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), 1);
    overlap();
    assert_eq!(String::from_utf8(world.bytes("out/reference.jsonl")).unwrap(), kept);
    let nobody = |object: &str| {
        let (before, _) = object.split_once(",\"truth\":").unwrap();
        format!("{before},\"truth\":{{\"faces\":null,\"hands\":null}}}}")
    };
    std::fs::write(world.path("out/reference.jsonl"), forged(kept.trim_end(), nobody)).unwrap();
    assert_eq!(overlap(), None, "nobody looked again");
}

#[test]
fn held_out_losses_of_a_lora_are_compared_with_those_of_its_model() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    world.ok(&["people", "--count", "5", "--size", "64", "--seed", "8", "--out", "held-out"]);
    let losses = |weight: &str, out: &str| {
        let words = [
            "evaluate",
            "--losses",
            "--model",
            "tiny",
            "--lora",
            "run/lora.safetensors",
            "--lora-weight",
            weight,
            "--dataset",
            "held-out",
            "--size",
            "64",
            "--bands",
            "2",
            "--draws",
            "1",
            "--out",
            out,
        ];
        (world.ok(&words), json(&world, &format!("{out}/summary.json")))
    };
    let (said, summary) = losses("1", "one");
    assert!(said.contains("5 pictures, 10 pairs of picture and noise"), "{said}");
    let rows = summary["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["objective"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4 * 3, "the whole span and two bands of four objectives");
    for name in ["global", "face", "hand", "background"] {
        assert_eq!(names.iter().filter(|other| **other == name).count(), 3, "{name} in {names:?}");
    }
    let of = |row: &Value, arm: &str| row["losses"][arm]["value"].as_f64().unwrap();
    assert!(rows.iter().all(|row| of(row, "model") > 0.0), "{rows:?}");
    assert!(rows.iter().any(|row| of(row, "model") != of(row, "with LoRA")), "the LoRA does something");
    let interval = &rows[0]["change"]["interval"];
    assert!(interval[0].as_f64().unwrap() <= interval[1].as_f64().unwrap());
    // Losses of single samples, of which the table's are sums.
    let lines = std::fs::read_to_string(world.path("one/losses.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 2 * 10 * 4);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let global = lines.iter().filter(|line| line["arm"] == "model" && line["objective"] == "global");
    let global: Vec<f64> = global.map(|line| line["loss"].as_f64().unwrap()).collect();
    let mean = global.iter().sum::<f64>() / global.len() as f64;
    assert!((mean / of(&rows[0], "model") - 1.0).abs() < 1e-9);
    let (_, nothing) = losses("0", "zero");
    for row in nothing["rows"].as_array().unwrap() {
        assert!(row["change"]["value"].as_f64().unwrap().abs() < 1e-6, "{row}");
    }
    let said =
        world.fails(&["evaluate", "--losses", "--model", "tiny", "--dataset", "nothing", "--out", "three"]);
    assert!(said.contains("nothing"), "{said}");
}
