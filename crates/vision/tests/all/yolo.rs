//! Networks exported by Ultralytics give here what Ultralytics' predictor gives (reference/vision).

use crate::common::file;
use fairhuman_vision::finder::Finder;
use fairhuman_vision::geometry::Box2;
use fairhuman_vision::yolo::Yolo;
use serde_json::Value;

fn photo() -> image::RgbImage {
    let whole = image::open(file("photos/astronaut.png")).expect("the photograph").to_rgb8();
    image::imageops::crop_imm(&whole, 0, 0, 320, 220).to_image()
}

fn assert_same(name: &str) {
    let golden: Value =
        serde_json::from_slice(&std::fs::read(file("golden/yolo.json")).expect("the golden file"))
            .expect("JSON");
    let golden = golden[name].as_array().expect("a list");
    let network = Yolo::load(&file(&format!("models/{name}-random.onnx")), 0.25).expect("the network");
    let found = network.detect(&photo()).expect("objects");
    assert!(golden.len() > 3, "the golden file has something to compare");
    assert_eq!(found.len(), golden.len());
    for reference in golden {
        let [x0, y0, x1, y1] = [0, 1, 2, 3].map(|i| reference["bbox"][i].as_f64().expect("a number") as f32);
        let bbox = Box2 { x0, y0, x1, y1 };
        let score = reference["score"].as_f64().expect("a score") as f32;
        let same = found.iter().any(|o| {
            o.bbox.iou(&bbox) > 0.95
                && (o.score - score).abs() < 0.02
                && o.class as u64 == reference["class"].as_u64().expect("a class")
        });
        assert!(same, "{reference} is not in {found:?}");
    }
}

#[test]
fn yolov8_finds_what_ultralytics_finds() {
    assert_same("yolov8");
}

#[test]
fn yolo11_finds_what_ultralytics_finds() {
    assert_same("yolo11");
}

#[test]
fn another_file_is_an_error_that_names_it() {
    for name in ["models/face_detection_short_range.tflite", "photos/astronaut.png", "missing.onnx"] {
        let error = Yolo::load(&file(name), 0.5).err().expect("refused").to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn another_threshold_is_another_identity() {
    let load = |threshold| Yolo::load(&file("models/yolov8-random.onnx"), threshold).expect("the network");
    assert_ne!(load(0.25).identity(), load(0.5).identity());
}
