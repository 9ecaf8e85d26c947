//! Conditioning images: in the geometry of their picture, in [0, 1], and decoded only where they are wanted.

use crate::common::{Scene, plain, put, write};
use fairhuman_dataset::check::{Options, check};
use fairhuman_dataset::{Crop, Dataset, DatasetSpec, GeometrySpec, Region, Wanted, draw};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// A dataset of one picture of 120 x 90 pixels, its mask and its control image.
fn open(dir: &TempDir) -> Dataset {
    put(dir, "metadata.jsonl", r#"{"image":"a.png","text":"x","mask":"m.png","pose":"c.png"}"#);
    let spec =
        DatasetSpec { conditioning: Some("pose".into()), mask_threshold: 0.5, ..DatasetSpec::new(".") };
    Dataset::open(dir.path(), &spec, &[Region::new("thing", "mask")]).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn control_images_coincide_with_picture_and_mask_pixel_by_pixel() {
    let dir = TempDir::new().unwrap();
    let scene = Scene::lopsided(120, 90);
    let colour = |x, y| if scene.is_white(x, y) { Rgb([255, 0, 51]) } else { Rgb([0, 0, 51]) };
    RgbImage::from_fn(120, 90, colour).save(dir.path().join("a.png")).unwrap();
    RgbImage::from_fn(120, 90, colour).save(dir.path().join("c.png")).unwrap();
    write(&dir.path().join("m.png"), &scene.shown(), None);
    let data = open(&dir);
    let spec = GeometrySpec { width: 64, height: 64, crop: Crop::Random, flip: 0.5, buckets: None };
    let (mut mirrored, mut clear) = (0, 0);
    for step in 0..30 {
        let d = draw(&spec, (120, 90), 1, step, 0);
        let sample = data.load(0, &d, 1, Wanted::ALL).unwrap();
        let control = sample.conditioning.unwrap();
        assert_eq!(control.len(), 64 * 64 * 3);
        let mask = sample.masks[0].as_ref().unwrap();
        for (i, (control, picture)) in control.chunks(3).zip(sample.image.chunks(3)).enumerate() {
            for (c, p) in control.iter().zip(picture) {
                assert!((0.0..=1.0).contains(c) && (2.0 * c - 1.0 - p).abs() < 1e-6, "{c}, {p} in {d:?}");
            }
            assert!(control[1] == 0.0 && (control[2] - 0.2).abs() < 1e-6, "three channels, in their order");
            // Away from the edges, where Lanczos and area weights may round to different sides.
            if (control[0] - 0.5).abs() > 0.25 {
                assert_eq!(control[0] > 0.5, mask.cells[i] == 1.0, "pixel {i} of {d:?}");
                clear += 1;
            }
        }
        mirrored += usize::from(d.flip);
    }
    assert!((5..25).contains(&mirrored) && clear > 30 * 64 * 64 * 8 / 10);
}

#[test]
fn a_control_image_that_is_not_wanted_is_not_decoded() {
    let dir = TempDir::new().unwrap();
    for name in ["a.png", "m.png"] {
        write(&dir.path().join(name), &plain(120, 90, 255), None);
    }
    write(&dir.path().join("c.png"), &Scene::lopsided(120, 90).shown(), None);
    let data = open(&dir);
    let d = draw(&GeometrySpec { width: 64, height: 64, ..GeometrySpec::default() }, (120, 90), 0, 0, 0);
    let whole = data.load(0, &d, 8, Wanted::ALL).unwrap();
    // Damage the pixels, and leave the header; then take the whole file away.
    let path = dir.path().join("c.png");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4].fill(0xaa);
    let unwanted = Wanted { conditioning: false, ..Wanted::ALL };
    for damage in [Some(bytes), None] {
        match damage {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let error = data.load(0, &d, 8, Wanted::ALL).unwrap_err().to_string();
        assert!(error.contains("metadata.jsonl line 1: conditioning image c.png"), "{error}");
        let sample = data.load(0, &d, 8, unwanted).unwrap();
        assert_eq!(sample.conditioning, None);
        assert_eq!((&sample.image, &sample.masks), (&whole.image, &whole.masks));
    }
}

#[test]
fn control_images_that_are_all_alike_are_told() {
    let dir = TempDir::new().unwrap();
    let mut list = String::new();
    for (i, side) in [40, 50, 60].into_iter().enumerate() {
        write(&dir.path().join(format!("{i}.png")), &Scene::lopsided(side, side).shown(), None);
        list += &format!("{{\"image\":\"{i}.png\",\"text\":\"x\",\"pose\":\"c{i}.png\"}}\n");
    }
    put(&dir, "metadata.jsonl", &list);
    let spec = DatasetSpec { conditioning: Some("pose".into()), ..DatasetSpec::new(".") };
    let told = |draw: &dyn Fn(usize, u32) -> image::GrayImage| {
        for (i, side) in [40, 50, 60].into_iter().enumerate() {
            write(&dir.path().join(format!("c{i}.png")), &draw(i, side), None);
        }
        let data = Dataset::open(dir.path(), &spec, &[]).unwrap();
        let report = check(dir.path(), &spec, &[], &Options::default(), &|_, _| {});
        let found = data.alike_controls().map(|doubt| doubt.to_string());
        assert_eq!(
            found.is_some(),
            report.diagnostics.iter().any(|d| d.message.contains("a control network learns"))
        );
        found
    };
    let black = told(&|_, side| plain(side, side, 0)).expect("nothing is drawn");
    assert!(black.contains("conditioning image c0.png: all 3 are of one and the same colour"), "{black}");
    assert_eq!(told(&|i, side| plain(side, side, if i == 2 { 1 } else { 0 })), None);
    assert_eq!(told(&|_, side| Scene::lopsided(side, side).shown()), None, "of other sizes");
    // The same file for every picture.
    for i in 0..3 {
        write(&dir.path().join(format!("{i}.png")), &plain(40, 40, 255), None);
    }
    let same = told(&|_, _| Scene::lopsided(40, 40).shown()).expect("one picture for all");
    assert!(same.contains("all 3 are the same picture"), "{same}");
}
