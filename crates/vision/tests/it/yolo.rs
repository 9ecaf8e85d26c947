//! YOLO networks give the same objects as Ultralytics' predictor (reference/vision).

use crate::common::file;
use fairhuman_vision::geometry::Box2;
use fairhuman_vision::pipeline::RegionDetector;
use fairhuman_vision::yolo::{Yolo, YoloError};
use serde_json::Value;

fn photo() -> image::RgbImage {
    let whole = image::open(file("photos/astronaut.png")).expect("the photograph").to_rgb8();
    image::imageops::crop_imm(&whole, 0, 0, 320, 220).to_image()
}

fn load(name: &str, classes: &[&str], threshold: f32) -> Result<Yolo, YoloError> {
    let classes: Vec<String> = classes.iter().map(|class| class.to_string()).collect();
    Yolo::load(&file(&format!("models/{name}-random.onnx")), &classes, threshold)
}

fn assert_same(name: &str) {
    let golden: Value =
        serde_json::from_slice(&std::fs::read(file("golden/yolo.json")).expect("the golden file"))
            .expect("JSON");
    let golden = golden[name].as_array().expect("a list");
    let network = load(name, &["0", "1"], 0.25).expect("the network");
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
        let error = Yolo::load(&file(name), &[], 0.5).err().expect("refused").to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn another_threshold_or_class_is_another_identity() {
    let identity =
        |classes: &[&str], threshold| load("yolov8", classes, threshold).expect("the network").identity();
    assert_ne!(identity(&["0"], 0.25), identity(&["0"], 0.5));
    assert_ne!(identity(&["0"], 0.25), identity(&["1"], 0.25));
}

#[test]
fn only_boxes_of_the_chosen_class_are_found_and_none_is_guessed() {
    let found = |classes: &[&str]| {
        let network = load("yolov8", classes, 0.25).expect("the network");
        network.detect(&photo()).expect("objects")
    };
    let both = found(&["0", "1"]);
    let first: Vec<_> = both.iter().filter(|object| object.class == 0).cloned().collect();
    assert!(!first.is_empty() && first.len() < both.len());
    assert_eq!(found(&["0"]), first);
    let error = load("yolov8", &[], 0.25).err().expect("refused").to_string();
    assert!(error.contains("which of its 2 classes are meant") && error.contains("1 `1`"), "{error}");
}

/// An ONNX file that gives `values` for any picture of 32 pixels, and says that it has this task and these
/// names.
fn constant(shape: [usize; 3], values: &[f32], task: &str, names: &str) -> Vec<u8> {
    fn number(mut n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while n > 127 {
            bytes.push(n as u8 & 127 | 128);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    }
    // Protocol buffers: a field is its number and kind, then an integer, or a length and bytes.
    let integer = |field: usize, value: usize| [number(field << 3), number(value)].concat();
    let bytes =
        |field: usize, bytes: &[u8]| [number(field << 3 | 2), number(bytes.len()), bytes.to_vec()].concat();
    let info = |name: &str, shape: &[usize]| {
        let sides: Vec<u8> = shape.iter().flat_map(|&side| bytes(1, &integer(1, side))).collect();
        let tensor = [integer(1, 1), bytes(2, &sides)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    };
    let entry = |key: &str, value: &str| [bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat();
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let sides: Vec<u8> = shape.iter().flat_map(|&side| integer(1, side)).collect();
    let tensor = [sides, integer(2, 1), bytes(9, &raw)].concat();
    let value = [bytes(1, b"value"), bytes(5, &tensor), integer(20, 4)].concat();
    let node = [bytes(2, b"output0"), bytes(4, b"Constant"), bytes(5, &value)].concat();
    let places = [bytes(11, &info("images", &[1, 3, 32, 32])), bytes(12, &info("output0", &shape))].concat();
    let graph = [bytes(1, &node), bytes(2, b"g"), places].concat();
    let about = [bytes(14, &entry("task", task)), bytes(14, &entry("names", names))].concat();
    [integer(1, 8), bytes(8, &integer(2, 13)), bytes(7, &graph), about].concat()
}

#[test]
fn networks_of_other_kinds_are_refused_before_any_photograph() {
    let folder = tempfile::tempdir().expect("a folder");
    let refusal = |shape: [usize; 3], value: f32, task: &str, names: &str| {
        let path = folder.path().join("a.onnx");
        let values = vec![value; shape.iter().product()];
        std::fs::write(&path, constant(shape, &values, task, names)).expect("a network");
        Yolo::load(&path, &[], 0.25).err().map(|error| error.to_string())
    };
    let assert_refused = |refusal: Option<String>, why: &str| {
        let error = refusal.expect("refused");
        assert!(error.contains("a.onnx: expected") && error.contains(why), "{error}");
    };
    let one = "{0: 'hand'}";
    assert_eq!(refusal([1, 5, 21], 0.5, "detect", one), None);
    assert_refused(refusal([1, 56, 84], 0.5, "pose", one), "task `pose`");
    assert_refused(refusal([1, 5, 21], 20.0, "detect", one), "scores from 0 to 1");
    assert_refused(refusal([1, 6, 21], 0.5, "detect", one), "one for each of its 1 classes, found 6");
    assert_refused(refusal([1, 85, 63], 0.5, "detect", one), "YOLOv5");
    // Rows of YOLOv5 with one class are as long as those of boxes with suppression inside; its last number is
    // no class.
    assert_refused(refusal([1, 63, 6], 0.5, "detect", one), "scores from 0 to 1");
    assert_refused(refusal([1, 63, 6], 0.0, "detect", "{}"), "`names`");
}

/// Bytes before a message of `length` bytes in a field, as protobuf has it.
fn head(number: u8, mut length: usize) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out
}

pub fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [head(number, content.len()), content.to_vec()].concat()
}

#[test]
fn networks_nested_or_chained_without_end_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |graph: &[u8]| {
        let path = folder.path().join("a.onnx");
        std::fs::write(&path, [vec![8, 8], field(7, graph)].concat()).expect("a file");
        Yolo::load(&path, &[], 0.5).err().expect("no network").to_string()
    };
    // 100,000 graphs, each in an attribute of a node of the next, from the inside out.
    let (mut heads, mut length) = (Vec::new(), 0);
    for level in 0..300_000 {
        let head = head([6, 5, 1][level % 3], length);
        length += head.len();
        heads.push(head);
    }
    let nested: Vec<u8> = heads.into_iter().rev().flatten().collect();
    assert!(refused(&nested).contains("nested more than"));
    let chain = |count: usize| -> Vec<u8> {
        let node = |i: usize| {
            let (from, to) = (format!("v{i}"), format!("v{}", i + 1));
            field(1, &[field(1, from.as_bytes()), field(2, to.as_bytes()), field(4, b"Identity")].concat())
        };
        let dim = |n: u8| field(1, &[8, n]);
        let shape = field(2, &[dim(1), dim(3), dim(64), dim(64)].concat());
        let kind = field(1, &[vec![8, 1], shape].concat());
        let value = |name: &str| [field(1, name.as_bytes()), field(2, &kind)].concat();
        let ends = [field(11, &value("v0")), field(12, &value(&format!("v{count}")))].concat();
        [(0..count).flat_map(node).collect(), ends].concat()
    };
    assert!(refused(&chain(100_000)).contains("more than 20000 operators"));
    // As many as are allowed leave stack enough: it is refused for what it computes.
    for count in [3_000, 20_000] {
        let text = refused(&chain(count));
        assert!(text.contains("expected an output"), "{text}");
    }
    // Of those in the attribute of an operator there are fewer.
    let inner = [field(1, &field(5, &field(6, &chain(3_001)))), chain(1)].concat();
    assert!(refused(&inner).contains("more than 3000 operators in inner graphs"));
}
