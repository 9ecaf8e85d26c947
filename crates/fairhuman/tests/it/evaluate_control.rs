//! `fairhuman evaluate` of pictures that were made with a skeleton: what they should show is read from it.

use image::{RgbImage, imageops};
use serde_json::{Value, json};

use crate::annotate::{networks, shipped};
use crate::world::World;

/// A PNG file that says that it was made with a control image.
fn made_with(world: &World, file: &str, image: &RgbImage, control: &str) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    let about = json!({
        "prompt": file, "seed": 1, "index": 0,
        "controls": [{"file": "pose", "images": null}, {"file": "pose", "images": ["no/edges.png", control]}],
    });
    encoder.add_text_chunk("fairhuman".into(), about.to_string()).unwrap();
    encoder.write_header().unwrap().write_image_data(image.as_raw()).unwrap();
    std::fs::create_dir_all(world.path(file).parent().unwrap()).unwrap();
    std::fs::write(world.path(file), bytes).unwrap();
}

fn score(world: &World, picture: &str, metric: &str) -> Option<f64> {
    let text = String::from_utf8(world.bytes("out/scores.jsonl")).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.find(|line| line["picture"] == picture && line["judge"] == metric);
    line.unwrap_or_else(|| panic!("no {metric} of {picture}"))["score"].as_f64()
}

#[test]
fn key_points_come_from_the_control_images_colours_and_misses_count() {
    let Some(models) = networks() else { return };
    let world = World::empty();
    std::fs::create_dir(world.path("photos")).unwrap();
    let photo = image::open(shipped("photos/astronaut.png")).unwrap().into_rgb8();
    photo.save(world.path("photos/pose.png")).unwrap();
    world.ok(&["control", "photos/pose.png", "--out", "poses", "--models", &models]);
    // As the skeleton says, smaller, with nobody, with somebody elsewhere, and with a control image that is
    // gone.
    made_with(&world, "a/same.png", &photo, "poses/pose.png");
    let small = imageops::resize(&photo, 384, 384, imageops::FilterType::Triangle);
    made_with(&world, "a/small.png", &small, "poses/pose.png");
    made_with(&world, "a/nobody.png", &RgbImage::from_pixel(512, 512, image::Rgb([90; 3])), "poses/pose.png");
    let mut moved = RgbImage::from_pixel(512, 512, image::Rgb([90; 3]));
    imageops::replace(&mut moved, &photo, 190, 60);
    made_with(&world, "a/moved.png", &moved, "poses/pose.png");
    made_with(&world, "a/gone.png", &photo, "poses/gone.png");

    let words = ["evaluate", "a", "--out", "out", "--models", &models];
    let output = world.run(&words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("what should be in 4 pictures is read from the skeletons"), "{said}");
    assert!(said.contains("of 1 pictures the control image cannot be read, such as no/edges.png"), "{said}");
    for picture in ["same.png", "small.png"] {
        let of = |metric: &str| score(&world, picture, metric);
        assert!(of("body.points").unwrap() > 0.9, "{picture}: {:?}", of("body.points"));
        assert!(of("body.keypoint_error").unwrap() < 0.06, "{picture}: {:?}", of("body.keypoint_error"));
        assert_eq!((of("face.rate"), of("face.count_error")), (Some(1.0), Some(0.0)), "{picture}");
        assert!(of("face.iou").unwrap() > 0.5, "{picture}: {:?}", of("face.iou"));
        assert!(of("face.keypoint_error").unwrap() < 0.25, "{picture}: {:?}", of("face.keypoint_error"));
    }
    let nobody = |metric: &str| score(&world, "nobody.png", metric);
    assert_eq!((nobody("body.points"), nobody("body.keypoint_error")), (Some(0.0), None));
    assert_eq!(
        (nobody("face.rate"), nobody("face.iou"), nobody("face.presence")),
        (Some(0.0), Some(0.0), Some(0.0))
    );
    assert!(score(&world, "moved.png", "body.points").unwrap() < 0.3);
    assert!(score(&world, "moved.png", "face.iou").unwrap() < 0.3);
    assert_eq!(score(&world, "gone.png", "body.points"), None);

    // Another skeleton is another expectation: scores are made again.
    let before = world.bytes("out/scores.jsonl");
    world.ok(&words);
    assert_eq!(world.bytes("out/scores.jsonl"), before);
    RgbImage::new(512, 512).save(world.path("poses/pose.png")).unwrap();
    world.ok(&words);
    assert_eq!(score(&world, "same.png", "body.points"), None, "black is no skeleton");
}
