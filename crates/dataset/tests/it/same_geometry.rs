//! The theorem that this crate exists for: a picture and its masks, painted alike, are alike after loading.

use crate::common::{Scene, crc32, exif, plain, write};
use fairhuman_dataset::{
    Crop, Dataset, DatasetSpec, GeometrySpec, MaskOrientation, Region, Sample, Wanted, draw,
};
use proptest::prelude::*;
use tempfile::TempDir;

fn open(dir: &TempDir, spec: &DatasetSpec) -> Dataset {
    let regions = [Region::new("thing", "mask")];
    Dataset::open(dir.path(), spec, &regions).unwrap_or_else(|e| panic!("{e}"))
}

/// A dataset in `dir` whose metadata names these files, with masks read at pixel resolution, half covered.
fn dataset(dir: &TempDir, files: &[(&str, &str, &str)], orientation: MaskOrientation) -> Dataset {
    let line = |(image, mask, pose): &(&str, &str, &str)| {
        format!("{{\"image\":\"{image}\",\"text\":\"x\",\"mask\":\"{mask}\",\"pose\":\"{pose}\"}}\n")
    };
    let lines: String = files.iter().map(line).collect();
    std::fs::write(dir.path().join("metadata.jsonl"), lines).unwrap();
    let spec = DatasetSpec {
        conditioning: Some("pose".into()),
        mask_threshold: 0.5,
        mask_orientation: orientation,
        ..DatasetSpec::new(".")
    };
    open(dir, &spec)
}

/// The share of pixels that are clearly black or white; all of them must agree with mask and conditioning.
fn assert_coincide(s: &Sample) -> f32 {
    let pose = s.conditioning.as_ref().expect("conditioning");
    let absent = vec![0.0; s.height * s.width];
    let mask = s.masks[0].as_ref().map_or(&absent, |m| &m.cells);
    let mut clear = 0;
    for (i, &inside) in mask.iter().enumerate() {
        let v = s.image[3 * i];
        assert!((pose[3 * i] * 2.0 - 1.0 - v).abs() < 0.05, "conditioning differs at {i}");
        if v.abs() > 0.5 {
            clear += 1;
            assert_eq!(v > 0.0, inside == 1.0, "mask differs at {i}: picture {v}, mask {inside}");
        }
    }
    clear as f32 / mask.len() as f32
}

#[test]
fn picture_mask_and_conditioning_coincide_in_every_draw() {
    let dir = TempDir::new().unwrap();
    let sizes = [(160, 120), (90, 200), (64, 64), (40, 52)];
    let mut files = Vec::new();
    for (i, (w, h)) in sizes.into_iter().enumerate() {
        let scene = Scene::lopsided(w, h);
        let name = format!("{i}.png");
        write(&dir.path().join(&name), &scene.shown(), None);
        files.push(name);
    }
    let rows: Vec<_> = files.iter().map(|f| (f.as_str(), f.as_str(), f.as_str())).collect();
    let data = dataset(&dir, &rows, MaskOrientation::Shown);
    for (width, height) in [(64, 64), (96, 40), (33, 71)] {
        let spec = GeometrySpec { width, height, crop: Crop::Random, flip: 0.5, buckets: None };
        for step in 0..40 {
            for i in 0..data.len() {
                let d = draw(&spec, data.item(i).size, 3, step, i as u64);
                let s = data.load(i, &d, 1, Wanted::ALL).unwrap();
                let clear = assert_coincide(&s);
                assert!(clear > 0.6, "{clear} in {d:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_boxes_in_any_picture_coincide(
        w in 24u32..220, h in 24u32..220, step: u64,
        boxes in prop::collection::vec((0f32..0.7, 0f32..0.7, 0.3f32..0.5, 0.3f32..0.5), 1..3),
    ) {
        let dir = TempDir::new().unwrap();
        let scene = Scene { size: (w, h), boxes };
        write(&dir.path().join("a.png"), &scene.shown(), None);
        let data = dataset(&dir, &[("a.png", "a.png", "a.png")], MaskOrientation::Shown);
        let spec = GeometrySpec { width: 48, height: 40, crop: Crop::Random, flip: 0.5, buckets: None };
        let d = draw(&spec, (w, h), 0, step, 0);
        assert_coincide(&data.load(0, &d, 1, Wanted::ALL).unwrap());
    }
}

#[test]
fn mirroring_is_mirroring_of_the_same_crop() {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("a.png"), &Scene::lopsided(128, 64).shown(), None);
    let data = dataset(&dir, &[("a.png", "a.png", "a.png")], MaskOrientation::Shown);
    let spec = GeometrySpec { width: 64, height: 64, ..GeometrySpec::default() };
    let straight = draw(&spec, (128, 64), 0, 0, 0);
    let mut mirrored = straight;
    mirrored.flip = true; // a centred crop is its own mirror image
    let (a, b) =
        (data.load(0, &straight, 1, Wanted::ALL).unwrap(), data.load(0, &mirrored, 1, Wanted::ALL).unwrap());
    let (ma, mb) = (a.masks[0].as_ref().unwrap(), b.masks[0].as_ref().unwrap());
    for (row, (ra, rb)) in ma.cells.chunks(64).zip(mb.cells.chunks(64)).enumerate() {
        assert!(ra.iter().eq(rb.iter().rev()), "row {row}");
    }
    assert_ne!(ma.cells, mb.cells);
    for (ra, rb) in a.image.chunks(64 * 3).zip(b.image.chunks(64 * 3)) {
        assert!(ra.chunks(3).eq(rb.rchunks(3)));
    }
}

#[test]
fn every_exif_orientation_shows_the_same_scene() {
    let scene = Scene::lopsided(120, 80);
    for extension in ["png", "jpg", "webp"] {
        let dir = TempDir::new().unwrap();
        let file = |name: String| (format!("{name}.{extension}"), name);
        write(&dir.path().join("mask.png"), &scene.shown(), None);
        let names: Vec<String> = (1..=8)
            .map(|o| {
                let (name, _) = file(format!("{o}"));
                write(&dir.path().join(&name), &scene.stored(o), Some(o));
                name
            })
            .collect();
        // An upright mask, and one that is stored and tagged like its picture, must both fit.
        let rows: Vec<_> = names.iter().map(|n| (n.as_str(), "mask.png", n.as_str())).collect();
        let data = dataset(&dir, &rows, MaskOrientation::Shown);
        let spec = GeometrySpec { width: 64, height: 56, crop: Crop::Random, flip: 0.5, buckets: None };
        for step in 0..6 {
            let d = draw(&spec, (120, 80), 5, step, 0);
            let upright = data.load(0, &d, 1, Wanted::ALL).unwrap();
            for (i, name) in names.iter().enumerate() {
                assert_eq!(data.item(i).size, (120, 80), "{name}");
                let s = data.load(i, &d, 1, Wanted::ALL).unwrap();
                assert_coincide(&s);
                let apart = s.image.iter().zip(&upright.image).map(|(a, b)| (a - b).abs());
                let apart = apart.fold(0.0, f32::max);
                let allowed = if extension == "jpg" { 0.1 } else { 0.0 };
                assert!(apart <= allowed, "{name}: {apart}");
                assert_eq!(s.time_ids[..2], [80.0, 120.0]);
            }
        }
    }
}

#[test]
fn masks_of_the_stored_pixels_turn_with_their_picture_when_told_so() {
    let scene = Scene::lopsided(96, 64);
    let dir = TempDir::new().unwrap();
    let mut rows = Vec::new();
    for o in 1..=8 {
        write(&dir.path().join(format!("{o}.jpg")), &scene.stored(o), Some(o));
        write(&dir.path().join(format!("m{o}.png")), &scene.stored(o), None);
        rows.push((format!("{o}.jpg"), format!("m{o}.png")));
    }
    let rows: Vec<_> = rows.iter().map(|(a, m)| (a.as_str(), m.as_str(), m.as_str())).collect();
    let data = dataset(&dir, &rows, MaskOrientation::Stored);
    let spec = GeometrySpec { width: 48, height: 48, ..GeometrySpec::default() };
    for i in 0..8 {
        let d = draw(&spec, data.item(i).size, 0, 0, 0);
        let s = data.load(i, &d, 1, Wanted::ALL).unwrap();
        assert_coincide(&s);
    }
    // Told nothing, the program says what is the matter instead of training on masks that lie sideways.
    let told_nothing = Dataset::open(dir.path(), &DatasetSpec::new("."), &[Region::new("thing", "mask")]);
    let problems = told_nothing.unwrap_err();
    assert_eq!(problems.errors.len(), 4, "orientations 5 to 8 swap the sides: {problems}");
    let text = problems.to_string();
    assert!(text.contains("m6.png") && text.contains("64 x 96") && text.contains("96 x 64"), "{text}");
    assert!(text.contains("mask_orientation = \"stored\""), "{text}");
}

#[test]
fn a_png_may_carry_its_orientation_after_its_pixels() {
    let scene = Scene::lopsided(40, 24);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.png");
    write(&path, &scene.stored(6), None);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.split_off(bytes.len() - 12);
    let block = exif(6);
    bytes.extend((block.len() as u32).to_be_bytes());
    let chunk = [b"eXIf", block.as_slice()].concat();
    bytes.extend(&chunk);
    bytes.extend(crc32(&chunk).to_be_bytes());
    bytes.extend(end);
    std::fs::write(&path, bytes).unwrap();
    write(&dir.path().join("m.png"), &scene.shown(), None);
    let data = dataset(&dir, &[("a.png", "m.png", "m.png")], MaskOrientation::Shown);
    let spec = GeometrySpec { width: 40, height: 24, ..GeometrySpec::default() };
    let d = draw(&spec, (40, 24), 0, 0, 0);
    assert!(assert_coincide(&data.load(0, &d, 1, Wanted::ALL).unwrap()) > 0.99);
}

#[test]
fn a_draw_of_another_picture_is_refused() {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("a.png"), &plain(32, 16, 9), None);
    write(&dir.path().join("m.png"), &plain(32, 16, 0), None);
    let data = dataset(&dir, &[("a.png", "m.png", "m.png")], MaskOrientation::Shown);
    let spec = GeometrySpec { width: 16, height: 16, ..GeometrySpec::default() };
    let other = draw(&spec, (16, 32), 0, 0, 0);
    let error = data.load(0, &other, 8, Wanted::ALL).unwrap_err().to_string();
    assert!(error.contains("32 x 16"), "{error}");
    let mut outside = draw(&spec, (32, 16), 0, 0, 0);
    outside.crop_left = u32::MAX;
    assert!(data.load(0, &outside, 8, Wanted::ALL).is_err());
    let good = draw(&spec, (32, 16), 0, 0, 0);
    assert!(data.load(0, &good, 8, Wanted::ALL).is_ok());
    for factor in [0, 3, 32] {
        assert!(data.load(0, &good, factor, Wanted::ALL).is_err(), "factor {factor}");
    }
    assert!(data.load(1, &good, 8, Wanted::ALL).unwrap_err().to_string().contains("the dataset has 1"));
}
