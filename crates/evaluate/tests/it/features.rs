//! Features of sets are made once: they are kept beside the scores, and taken for the same picture and
//! weights.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use fairhuman_evaluate::PictureSet;
use fairhuman_evaluate::sets::{Embedder, Features, KeptFeatures, SetFeatures, embed};
use image::RgbImage;

use crate::sets::{folder, picture};

/// Awkward numbers of a picture's brightness, and the count of pictures that were looked at.
struct Shades {
    identity: String,
    looks: Cell<usize>,
}

impl Shades {
    fn new(weights: &str) -> Self {
        Self { identity: format!("shades, {weights}"), looks: Cell::new(0) }
    }
}

impl Embedder for Shades {
    fn name(&self) -> &'static str {
        "shades"
    }
    fn identity(&self) -> &str {
        &self.identity
    }
    fn embed(&self, images: &[&RgbImage]) -> Features {
        self.looks.set(self.looks.get() + images.len());
        let row = |image: &&RgbImage| {
            let shade = f32::from(image.get_pixel(0, 0).0[0]);
            vec![shade / 3.0, f32::MIN_POSITIVE / 7.0, -0.0, f32::INFINITY]
        };
        images.iter().map(row).collect()
    }
}

fn run(pictures: &Path, file: &Path, embedder: &Shades, stop_after: usize) -> Option<SetFeatures> {
    let set = PictureSet::open(pictures, None).expect("pictures");
    let mut kept = KeptFeatures::open(file).expect("features");
    let stop = AtomicBool::new(stop_after == 0);
    let found = embed(embedder, &set, None, &mut kept, &stop, &mut |progress| {
        stop.store(progress.done >= stop_after, std::sync::atomic::Ordering::SeqCst);
    });
    let found = found.expect("embedded");
    if found.is_some() {
        kept.finish().expect("written");
    }
    found
}

const ALL: usize = usize::MAX;

#[test]
fn a_second_run_makes_no_features() {
    let root = folder();
    let (pictures, file) = (root.path().join("pictures"), root.path().join("features.jsonl"));
    for i in 0..20u8 {
        picture(&pictures.join(format!("{i:02}.png")), 10 * i, None);
    }
    let network = Shades::new("digest 1");
    // Interrupted, and gone on with: what was made until then is not made again.
    assert_eq!(run(&pictures, &file, &network, 8), None);
    assert_eq!(network.looks.get(), 8);
    let found = run(&pictures, &file, &network, ALL).expect("whole");
    assert_eq!((network.looks.get(), found.whole.len()), (20, 20));
    let written = std::fs::read(&file).expect("features");
    let bits = |features: &SetFeatures| -> Vec<u32> {
        features.whole.iter().flatten().map(|value| value.to_bits()).collect()
    };
    let again = run(&pictures, &file, &network, ALL).expect("whole");
    assert_eq!((network.looks.get(), bits(&again)), (20, bits(&found)), "every bit is kept");
    assert_eq!(std::fs::read(&file).expect("features"), written);

    // Another picture and other weights are looked at.
    picture(&pictures.join("03.png"), 255, None);
    let changed = run(&pictures, &file, &network, ALL).expect("whole");
    assert_eq!((network.looks.get(), changed.whole[3][0]), (21, 85.0));
    let other = Shades::new("digest 2");
    run(&pictures, &file, &other, ALL).expect("whole");
    assert_eq!(other.looks.get(), 20);
}

#[test]
fn damaged_lines_are_made_again_and_foreign_files_are_refused() {
    let root = folder();
    let (pictures, file) = (root.path().join("pictures"), root.path().join("features.jsonl"));
    for i in 0..4u8 {
        picture(&pictures.join(format!("{i}.png")), 20 + i, None);
    }
    let network = Shades::new("digest");
    run(&pictures, &file, &network, ALL).expect("whole");
    let whole = std::fs::read_to_string(&file).expect("features");
    let mend = |damaged: &[u8], looks: usize| {
        std::fs::write(&file, damaged).expect("written");
        network.looks.set(0);
        run(&pictures, &file, &network, ALL).expect("whole");
        assert_eq!(network.looks.get(), looks);
        assert_eq!(std::fs::read_to_string(&file).expect("features"), whole);
    };
    // Half a line; a number, a name and an input that are others; bytes that are no text.
    mend(&whole.as_bytes()[..whole.len() - 30], 1);
    let value = whole.split("\"values\":\"").nth(2).expect("values")[..4].to_owned();
    mend(whole.replacen(&value, "AAAA", 1).as_bytes(), 1);
    mend(whole.replacen("[\"whole\"]", "[\"face\"]", 1).as_bytes(), 1);
    mend(whole.replacen("[\"whole\"]", "[\"whole\",\"whole\"]", 2).as_bytes(), 2);
    mend(whole.replacen("\"input\":\"", "\"input\":\"0", 4).as_bytes(), 4);
    let mut bytes = whole.clone().into_bytes();
    bytes[15] = 0xff;
    mend(&bytes, 1);
    for length in (0..whole.len()).step_by(97) {
        let left = whole[..length].lines().filter(|cut| whole.lines().any(|line| line == *cut)).count();
        mend(&whole.as_bytes()[..length], 4 - left);
    }
    std::fs::write(&file, "a letter to my aunt\n").expect("written");
    let error = KeptFeatures::open(&file).err().expect("foreign").to_string();
    assert!(error.contains("holds no features: choose another --out"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "a letter to my aunt\n");
}
