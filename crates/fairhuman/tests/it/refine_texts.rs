//! Refined pictures carry what their originals say of themselves, and are compared with them.

use fairhuman_pictures::png_texts;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use crate::world::World;

/// Pixels of the size that the judge of drawn people reads.
fn pixels(seed: u32) -> RgbImage {
    RgbImage::from_fn(96, 96, |x, y| Rgb([x, y, seed].map(|v| (v * 2 + seed) as u8)))
}

/// A PNG file with texts of all kinds.
fn sampled(world: &World, file: &str, index: u32) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 96, 96);
    encoder.set_color(png::ColorType::Rgb);
    let about = json!({"prompt": "a man waves", "seed": 7, "index": index, "steps": 3});
    encoder.add_text_chunk("parameters".into(), "a man waves\nSteps: 3, Seed: 7".into()).unwrap();
    encoder.add_text_chunk("fairhuman".into(), about.to_string()).unwrap();
    encoder.add_ztxt_chunk("workflow".into(), "x".repeat(100_000)).unwrap();
    encoder.add_itxt_chunk("Title".into(), "\u{7206}".into()).unwrap();
    encoder.write_header().unwrap().write_image_data(pixels(index).as_raw()).unwrap();
    std::fs::write(world.path(file), bytes).unwrap();
}

/// A folder `in`, and regions of the pictures in it and of those that are made of them.
fn world(pictures: &[&str]) -> World {
    let world = World::empty();
    world.ok(&["init-model", "--preset", "tiny", "--out", "tiny"]);
    std::fs::create_dir(world.path("in")).unwrap();
    let region = || json!([{"kind": "hand", "box": [30, 30, 60, 55]}]);
    let regions: Value = pictures.iter().map(|name| ((*name).to_owned(), region())).collect();
    std::fs::write(world.path("regions.json"), regions.to_string()).unwrap();
    world
}

fn refine(world: &World, from: &str, to: &str) -> String {
    let words = ["refine", from, "--out", to, "--model", "tiny", "--models", "none", "--steps", "2"];
    let size = ["--regions", "regions.json", "--inpaint-width", "64", "--inpaint-height", "64"];
    world.ok(&[&words[..], &size].concat())
}

fn texts(world: &World, file: &str) -> (Value, Vec<(String, String)>) {
    let mut texts = png_texts(&world.bytes(file));
    let (keyword, ours) = texts.remove(0);
    assert_eq!(keyword, "fairhuman");
    (serde_json::from_str(&ours).unwrap(), texts)
}

#[test]
fn a_refined_picture_says_what_its_original_said_and_is_its_pair() {
    let world = world(&["0.png", "1.png"]);
    sampled(&world, "in/0.png", 0);
    sampled(&world, "in/1.png", 1);
    refine(&world, "in", "out");
    let (ours, others) = texts(&world, "out/1.png");
    assert_eq!((&ours["seed"], &ours["index"], &ours["steps"]), (&json!(7), &json!(1), &json!(3)));
    assert_eq!(ours["prompt"], "a man waves");
    assert_eq!((&ours["refined"][0]["picture"], &ours["refined"][1]), (&json!("1.png"), &Value::Null));
    let mut expected = png_texts(&world.bytes("in/1.png"));
    expected.retain(|(keyword, _)| keyword != "fairhuman");
    assert_eq!(others, expected);
    assert!(others.iter().any(|(keyword, text)| keyword == "workflow" && text.len() == 100_000));
    // The mark is found behind long texts, too.
    assert!(refine(&world, "in", "out").contains("0 done now, 2 kept"));

    let said = world.ok(&["evaluate", "in", "out", "--judge", "drawn", "--out", "scores"]);
    assert!(said.contains("in and out: 2 pairs\n"), "{said}");

    // Once more: by the prompt that it was made of, and added to what was done before.
    assert!(refine(&world, "out", "twice").contains("2 pictures, 2 regions"), "strips are no pictures");
    let (ours, _) = texts(&world, "twice/0.png");
    let refined = ours["refined"].as_array().unwrap();
    assert_eq!((refined.len(), &refined[1]["prompt"]), (2, &json!("a man waves")));
}

#[test]
fn photographs_are_pairs_by_their_names_and_where_there_are_none_the_reason_is_told() {
    let world = world(&["a.jpg", "b.jpg"]);
    pixels(3).save(world.path("in/a.jpg")).unwrap();
    pixels(4).save(world.path("in/b.jpg")).unwrap();
    refine(&world, "in", "out");
    let (ours, others) = texts(&world, "out/a.png");
    assert!(ours["prompt"].is_null() && others.is_empty(), "{ours}");
    let compare = |second: &str, out: &str| {
        let said = world.ok(&["evaluate", "in", second, "--judge", "drawn", "--out", out]);
        let summary: Value = serde_json::from_slice(&world.bytes(&format!("{out}/summary.json"))).unwrap();
        (said, summary["comparisons"][0].clone())
    };
    let (said, comparison) = compare("out", "named");
    assert!(said.contains("in and out: 2 pairs, by file name"), "{said}");
    assert_eq!((&comparison["paired_by"], &comparison["why_no_pairs"]), (&json!("file name"), &Value::Null));
    let not_scored = said.lines().find(|line| line.starts_with("not scored: drawn."));
    assert!(not_scored.is_some_and(|line| line.ends_with("(there is nothing to compare with)")), "{said}");
    assert!(!said.contains("(0 of "), "{said}");
    let page = String::from_utf8(world.bytes("named/report.html")).unwrap();
    assert!(page.contains("no score for prompts that name none"));

    std::fs::create_dir(world.path("other")).unwrap();
    sampled(&world, "other/0.png", 0);
    let (said, comparison) = compare("other", "unpaired");
    assert!(said.contains("in has 2 pictures, 0 with a prompt"), "{said}");
    assert!(said.contains("no prompt is known in in,"), "{said}");
    assert!(comparison["why_no_pairs"].as_str().unwrap().contains("--prompts"), "{comparison}");
    let page = String::from_utf8(world.bytes("unpaired/report.html")).unwrap();
    assert!(page.contains("Why there are no pairs"));
}
