//! The detectors look at a reference picture once, until its bytes or their networks are others.

use std::cell::Cell;
use std::path::Path;

use fairhuman_evaluate::{KeptTruths, Part, Truth};
use fairhuman_vision::geometry::Box2;

use crate::sets::folder;

/// A truth with awkward numbers.
fn truth(seed: f32) -> Truth {
    let points = vec![None, Some([seed / 3.0, f32::MIN_POSITIVE]), Some([-0.0, 1e30])];
    let part = Part { bbox: Box2 { x0: -seed, y0: 0.1, x1: seed, y1: 1.0 / 3.0 }, points };
    Truth { faces: Some(vec![part]), hands: None, bodies: Vec::new() }
}

/// Asks for three pictures; the number of looks.
fn ask(file: &Path, pictures: [&[u8]; 3], by: &str) -> usize {
    let mut kept = KeptTruths::open(file).expect("findings");
    let looks = Cell::new(0);
    for (i, bytes) in pictures.into_iter().enumerate() {
        let look = || {
            looks.set(looks.get() + 1);
            truth(i as f32)
        };
        let name = format!("{i}.png");
        let found = kept.get((Path::new("photos"), &name), bytes, by, look).expect("a truth");
        assert_eq!(found, truth(i as f32));
    }
    kept.finish().expect("written");
    looks.get()
}

#[test]
fn a_picture_is_looked_at_once() {
    let root = folder();
    let file = root.path().join("reference.jsonl");
    let pictures: [&[u8]; 3] = [b"a", b"b", b"c"];
    assert_eq!((ask(&file, pictures, "networks 1"), ask(&file, pictures, "networks 1")), (3, 0));
    let text = std::fs::read_to_string(&file).expect("findings");
    assert_eq!(text.lines().count(), 3);
    assert_eq!(ask(&file, [b"a", b"other", b"c"], "networks 1"), 1);
    assert_eq!(ask(&file, [b"a", b"other", b"c"], "networks 2"), 3);
    // What is altered is made again.
    std::fs::write(&file, text.replacen("0.1", "0.2", 1)).expect("altered");
    assert_eq!(KeptTruths::open(&file).expect("findings").damaged(), 1);
    assert_eq!(ask(&file, pictures, "networks 1"), 1);
    assert_eq!(std::fs::read_to_string(&file).expect("findings"), text);
    std::fs::write(&file, "a letter to my aunt\n").expect("written");
    assert!(KeptTruths::open(&file).is_err());
}
