//! `fairhuman caption`: a tagger's tags as text files. (`reference/vision/tagger_golden.py` made the network,
//! which tells colours.)

use std::path::Path;

use image::{Rgb, RgbImage};

use crate::world::World;

fn world() -> World {
    let world = World::empty();
    std::fs::create_dir_all(world.path("photos/more")).unwrap();
    std::fs::create_dir_all(world.path("tagger")).unwrap();
    for file in ["model.onnx", "selected_tags.csv"] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tagger").join(file);
        std::fs::copy(golden, world.path("tagger").join(file)).unwrap();
    }
    for (name, colour) in [("red", [255, 0, 0]), ("dark", [180, 0, 0]), ("more/two", [0, 255, 200])] {
        let picture = RgbImage::from_pixel(40, 40, Rgb(colour));
        picture.save(world.path(format!("photos/{name}.png"))).unwrap();
    }
    world
}

fn caption(world: &World, name: &str) -> String {
    String::from_utf8(world.bytes(&format!("photos/{name}.txt"))).unwrap()
}

#[test]
fn captions_are_the_tags_above_the_thresholds() {
    let world = world();
    let said = world.ok(&["caption", "photos", "--tagger", "tagger"]);
    assert!(said.contains("3 captions written"), "{said}");
    // The character is told at 0.85 and above, the rating never.
    assert_eq!(caption(&world, "red"), "miss red, the first, red things\n");
    assert_eq!(caption(&world, "dark"), "red things\n");
    assert_eq!(caption(&world, "more/two"), "green, blue\n");

    // What is there stays.
    std::fs::write(world.path("photos/red.txt"), "mine").unwrap();
    let said = world.ok(&["caption", "photos", "--tagger", "tagger/model.onnx", "--prefix", "sks"]);
    assert!(said.contains("0 captions written") && said.contains("3 kept"), "{said}");
    assert_eq!(caption(&world, "red"), "mine");
    let more =
        ["--replace", "--prefix", "sks thing", "--exclude", "green,red_things", "--character-threshold", "1"];
    world.ok(&[&["caption", "photos", "--tagger", "tagger"][..], &more].concat());
    assert_eq!(caption(&world, "red"), "sks thing\n");
    assert_eq!(caption(&world, "more/two"), "sks thing, blue\n");
}

#[test]
fn what_is_no_tagger_is_told() {
    let world = world();
    let error = world.fails(&["caption", "photos", "--tagger", "photos"]);
    assert!(error.contains("a tagger is model.onnx and selected_tags.csv"), "{error}");
    let error = world.fails(&["caption", "photos", "--tagger", "wd-vit-tagger-v3"]);
    assert!(error.contains("models get SmilingWolf/wd-vit-tagger-v3"), "{error}");
    std::fs::write(world.path("tagger/selected_tags.csv"), "tag_id,name,category\n1,a,0\n").unwrap();
    let error = world.fails(&["caption", "photos", "--tagger", "tagger"]);
    assert!(error.contains("has 5 outputs, and the list 1 tags"), "{error}");
    let yolo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vision/tests/models/yolov8-random.onnx");
    std::fs::copy(yolo, world.path("tagger/model.onnx")).unwrap();
    let error = world.fails(&["caption", "photos", "--tagger", "tagger"]);
    assert!(error.contains("of a WD14 tagger"), "{error}");
    assert!(!world.path("photos/red.txt").exists());
}
