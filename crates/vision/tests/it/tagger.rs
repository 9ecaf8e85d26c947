//! Taggers with as many operators as SwinV2 and EVA02 have, and more: they are loaded, and run.

use fairhuman_vision::tagger::{Tagger, Thresholds};
use image::{Rgb, RgbImage};

use crate::yolo::field;

/// A tagger of three tags, blue, green and red: `count` times Relu, the mean of the picture, its sigmoid.
fn long_network(count: usize) -> Vec<u8> {
    let node = |kind: &str, from: &str, to: &str, attributes: &[u8]| {
        let names = [field(1, from.as_bytes()), field(2, to.as_bytes()), field(4, kind.as_bytes())].concat();
        field(1, &[&names, attributes].concat())
    };
    let mut nodes: Vec<u8> =
        (0..count).flat_map(|i| node("Relu", &format!("v{i}"), &format!("v{}", i + 1), &[])).collect();
    // Attributes are a name, values (one field each) and a type: 7 is integers, 2 one of them. (Field 20
    // takes two bytes.)
    let kind = |number: u8| vec![20 << 3 & 0x7f | 0x80, 1, number];
    let axes = field(5, &[field(1, b"axes"), vec![8 << 3, 1, 8 << 3, 2], kind(7)].concat());
    let keep = field(5, &[field(1, b"keepdims"), vec![3 << 3, 0], kind(2)].concat());
    nodes.extend(node("ReduceMean", &format!("v{count}"), "mean", &[axes, keep].concat()));
    nodes.extend(node("Sigmoid", "mean", "tags", &[]));
    let value = |name: &str, shape: &[u8]| {
        let shape = shape.iter().flat_map(|n| field(1, &[8, *n])).collect::<Vec<u8>>();
        let kind = field(1, &[vec![8, 1], field(2, &shape)].concat());
        [field(1, name.as_bytes()), field(2, &kind)].concat()
    };
    let ends = [field(11, &value("v0", &[1, 32, 32, 3])), field(12, &value("tags", &[1, 3]))].concat();
    let opset = field(8, &[0x10, 13]);
    [vec![8, 8], opset, field(7, &[nodes, ends].concat())].concat()
}

#[test]
fn a_tagger_of_many_operators_runs_in_a_thread_of_an_ordinary_stack() {
    let folder = tempfile::tempdir().expect("a folder");
    let (network, tags) = (folder.path().join("model.onnx"), folder.path().join("selected_tags.csv"));
    std::fs::write(&tags, "tag_id,name,category\n1,blue,0\n2,green,0\n3,red,0\n").expect("a list");
    for count in [100, 10_000] {
        std::fs::write(&network, long_network(count)).expect("a network");
        let tagger = Tagger::load(&network, &tags).expect("a tagger");
        let picture = RgbImage::from_pixel(40, 40, Rgb([200, 0, 0]));
        let thresholds = Thresholds { general: 0.9, character: 0.9 };
        let found = tagger.tags(&picture, thresholds).expect("tags");
        let names: Vec<&str> = found.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["red"], "{count}");
    }
    std::fs::write(&network, long_network(20_000)).expect("a network");
    let refused = Tagger::load(&network, &tags).err().expect("too many").to_string();
    assert!(refused.contains("model.onnx: it has more than 20000 operators"), "{refused}");
}
