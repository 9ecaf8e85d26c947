//! Boxes, scores and landmarks equal those of Python MediaPipe (reference/vision).

use crate::common::{file, networks, points};
use fairhuman_vision::crop::{Border, crop};
use fairhuman_vision::detectors::Detectors;
use fairhuman_vision::geometry::{Box2, Detection, RotatedRect};
use fairhuman_vision::landmarks::extent;
use fairhuman_vision::ssd::{Detector, FACE_FULL, FACE_SHORT};
use serde_json::Value;

fn golden() -> Value {
    let text = std::fs::read(file("golden/astronaut.json")).expect("the golden file");
    serde_json::from_slice::<Value>(&text).expect("JSON")["astronaut.png"].take()
}

fn photo() -> image::RgbImage {
    image::open(file("photos/astronaut.png")).expect("the photograph").to_rgb8()
}

fn detection(value: &Value) -> Detection {
    let [x0, y0, x1, y1] = [0, 1, 2, 3].map(|i| value["bbox"][i].as_f64().expect("a number") as f32);
    Detection {
        bbox: Box2 { x0, y0, x1, y1 },
        score: value["score"].as_f64().expect("a score") as f32,
        points: points(&value["points"]),
    }
}

/// Largest distance between points, as a fraction of the reference's larger side.
fn apart(ours: &[[f32; 2]], reference: &[[f32; 2]]) -> f32 {
    let size = extent(reference);
    let size = size.width().max(size.height());
    assert_eq!(ours.len(), reference.len());
    let pairs = ours.iter().zip(reference);
    pairs.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]) / size).fold(0.0, f32::max)
}

fn assert_same(ours: &[Detection], reference: &Value) {
    let reference = reference.as_array().expect("a list");
    assert_eq!(ours.len(), reference.len());
    for (a, b) in ours.iter().zip(reference) {
        let b = detection(b);
        assert!(a.bbox.iou(&b.bbox) > 0.99, "{a:?} {b:?}");
        assert!((a.score - b.score).abs() < 0.005, "{a:?} {b:?}");
        assert!(apart(&a.points, &b.points) < 0.005, "{a:?} {b:?}");
    }
}

#[test]
fn faces_are_mediapipes_faces() {
    let (photo, golden) = (photo(), golden());
    let short = file("models/face_detection_short_range.tflite");
    let short = Detector::load(&short, &FACE_SHORT).expect("short range");
    assert_same(&short.detect(&photo, 0.5), &golden["faces_short"]);
    let full = file("models/face_detection_full_range_sparse.tflite");
    let full = Detector::load(&full, &FACE_FULL).expect("full range");
    assert_same(&full.detect(&photo, 0.6), &golden["faces_full"]);
}

#[test]
fn landmarks_are_mediapipes_landmarks() {
    let Some(folder) = networks() else { return };
    let (photo, golden) = (photo(), golden());
    let all = Detectors::load(&folder).expect("the networks");
    let people = all.person.detect(&photo, 0.5);
    assert_same(&people[..1], &Value::Array(vec![golden["person"].clone()]));
    let pose = all.pose(&photo, &people[0]).expect("a person");
    assert!(apart(&pose.points, &points(&golden["pose"])) < 0.001);
    let face = &all.face_short.detect(&photo, 0.5)[0];
    let mesh = all.face(&photo, face).expect("a face");
    assert!(apart(&mesh.points, &points(&golden["meshes"][0])) < 0.005);
    assert_same(&all.palm.detect(&photo, 0.5), &golden["palms"]);
}

#[test]
fn the_hand_network_sees_what_tensorflow_lite_sees() {
    let Some(folder) = networks() else { return };
    let (photo, golden) = (photo(), golden());
    let all = Detectors::load(&folder).expect("the networks");
    let probe = &golden["probe"];
    let [x, y, side, angle] = [0, 1, 2, 3].map(|i| probe["region"][i].as_f64().expect("a number") as f32);
    let region = RotatedRect { center: [x, y], size: [side; 2], angle };
    let hand = all.hand_points.find(&photo, &region);
    let raw: Vec<f32> = probe["hand"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|v| v.as_f64().expect("a number") as f32)
        .collect();
    let reference: Vec<[f32; 2]> = raw.chunks(3).map(|p| region.point(p[0] / 224.0, p[1] / 224.0)).collect();
    assert!(apart(&hand.points, &reference) < 0.005);
}

#[test]
fn outside_the_photograph_a_crop_is_black_or_repeats_the_edge() {
    let white = image::RgbImage::from_pixel(4, 4, image::Rgb([255; 3]));
    let region = RotatedRect::square([2.0, 2.0], 8.0);
    let black = crop(&white, &region, 8, Border::Black, (0.0, 1.0));
    assert_eq!(black[0], 0.0);
    assert_eq!(black[(4 * 8 + 4) * 3], 1.0);
    let nearest = crop(&white, &region, 8, Border::Nearest, (0.0, 1.0));
    assert!(nearest.iter().all(|&v| v == 1.0));
}

#[test]
fn a_damaged_network_is_an_error_that_names_the_file() {
    let path = file("models/face_detection_full_range_sparse.tflite");
    let bytes = std::fs::read(&path).expect("the network");
    let wanted = [(0, 2304 * 16), (1, 2304)];
    let load = |bytes: &[u8]| fairhuman_vision::tflite::Network::from_bytes(&path, bytes, 192, &wanted);
    assert!(load(&bytes).is_ok());
    for cut in [0, 3, 8, 100, 5_000, bytes.len() / 2] {
        let error = load(&bytes[..cut]).err().expect("a truncated file is refused").to_string();
        assert!(error.contains("sparse.tflite"), "{error}");
    }
    // A file with any byte flipped either loads (a weight) or is refused, without a panic.
    for at in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut broken = bytes.clone();
        broken[at] ^= 0xff;
        let _ = load(&broken);
    }
    let other = file("models/face_detection_short_range.tflite");
    let error = Detector::load(&other, &FACE_FULL).err().expect("another network is refused").to_string();
    assert!(error.contains("expected an image [1, 192, 192, 3]"), "{error}");
}
