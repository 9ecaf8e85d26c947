//! Damaged and unusual pictures are told, and so is what becomes of good ones at the training size.

use std::path::Path;

use crate::common::{messages, plain, put, write};
use fairhuman_dataset::check::{Options, Report, check, html, text};
use fairhuman_dataset::{Dataset, DatasetSpec, GeometrySpec, Kind, Region, Severity, Wanted, draw};
use tempfile::TempDir;

/// A file that Pillow wrote; `reference/pictures_golden.py` makes them.
fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pictures/tests/data").join(name);
    std::fs::read(path).unwrap()
}

fn report(dir: &TempDir, size: u32) -> Report {
    let geometry = GeometrySpec { width: size, height: size, ..GeometrySpec::default() };
    let options = Options { geometry, ..Options::default() };
    check(dir.path(), &DatasetSpec::new("."), &[], &options, &|_, _| {})
}

#[test]
fn a_jpeg_damaged_in_the_middle_is_told_by_check_verify_and_load() {
    let dir = TempDir::new().unwrap();
    let whole = golden("baseline.jpg");
    let scan = whole.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    let mut cut = whole[..scan + (whole.len() - scan) * 3 / 10].to_vec();
    cut.extend([0xff, 0xd9]);
    put(&dir, "cut.jpg", cut);
    put(&dir, "cut.txt", "x");
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap();
    let geometry = GeometrySpec { width: 64, height: 64, ..GeometrySpec::default() };
    let load = data.load(0, &draw(&geometry, data.item(0).size, 0, 0, 0), 8, Wanted::IMAGE);
    let found = report(&dir, 64);
    assert_eq!(found.counts.errors, 1);
    for told in [
        load.unwrap_err().to_string(),
        data.verify().unwrap_err().to_string(),
        found.diagnostics[0].to_string(),
    ] {
        assert!(told.contains("picture cut.jpg: its JPEG data are damaged from about"), "{told}");
    }
}

#[test]
fn pictures_of_any_name_are_read_or_named() {
    let dir = TempDir::new().unwrap();
    for name in ["a.jfif", "b.jpe", "c.jif", "d.MPO"] {
        put(&dir, name, golden("baseline.jpg"));
        put(&dir, &format!("{}.txt", &name[..1]), "x");
    }
    put(&dir, "IMG_1", golden("baseline.jpg"));
    put(&dir, "e.data", golden("other.avif"));
    put(&dir, "notes.data", "no picture");
    put(&dir, "a.CR2", "II*\0");
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap();
    assert_eq!(data.len(), 4);
    let told = messages(&data);
    assert_eq!(told.len(), 3, "{told:?}");
    for part in [
        "IMG_1: has no extension, but its content is Jpeg",
        "e.data: is called .data, but its content is Avif",
        "a.CR2: .cr2 is not read",
    ] {
        assert!(told.iter().any(|text| text.contains(part)), "{part} is not in {told:?}");
    }
    put(&dir, "f.jpg", golden("other.avif"));
    put(&dir, "f.txt", "x");
    let refused = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap_err().to_string();
    assert!(refused.contains("picture f.jpg: its content is Avif, which is not read here"), "{refused}");
}

#[test]
fn colours_of_pictures_are_converted_and_masks_are_not() {
    let dir = TempDir::new().unwrap();
    put(&dir, "a.png", golden("adobe.png"));
    put(&dir, "a.txt", "x");
    put(&dir, "m/a.png", golden("adobe.png"));
    let regions = [Region::new("face", "m")];
    let spec = DatasetSpec { mask_threshold: 0.01, ..DatasetSpec::new(".") };
    let data = Dataset::open(dir.path(), &spec, &regions).unwrap();
    let (width, height) = data.item(0).size;
    let geometry = GeometrySpec { width, height, ..GeometrySpec::default() };
    let sample = data.load(0, &draw(&geometry, (width, height), 0, 0, 0), 1, Wanted::ALL).unwrap();
    let expected = image::load_from_memory(&golden("adobe-converted.png")).unwrap().into_rgb8();
    for (found, expected) in sample.image.iter().zip(expected.iter()) {
        let found = (found + 1.0) * 127.5;
        assert!((found - f32::from(*expected)).abs() <= 3.5, "{found} for {expected}");
    }
    let stored = image::load_from_memory(&golden("adobe.png")).unwrap().into_rgb8();
    let brightest = stored.pixels().map(|p| f32::from(*p.0.iter().max().unwrap()) / 255.0);
    let share = brightest.sum::<f32>() / (width * height) as f32;
    assert!((sample.masks[0].as_ref().unwrap().share - share).abs() < 1e-4);
    let found = report(&dir, 16);
    assert!(found.diagnostics.iter().any(|d| d.kind == Kind::ColourProfile), "{:?}", found.diagnostics);
}

#[test]
fn enlargement_and_cropping_are_told() {
    let dir = TempDir::new().unwrap();
    for (name, width, height) in
        [("a.png", 128, 128), ("b.png", 64, 64), ("c.png", 1500, 20), ("d.png", 512, 512)]
    {
        write(&dir.path().join(name), &plain(width, height, 9), None);
        put(&dir, &name.replace("png", "txt"), "x");
    }
    let found = report(&dir, 512);
    let fit = &found.fit;
    assert_eq!((fit.pictures, fit.enlarged, fit.half_cut), (4, 3, 1));
    assert!((fit.median_factor - 8.0).abs() < 1e-9, "{fit:?}");
    let (factor, name) = fit.most_enlarged.clone().unwrap();
    assert!((factor - 25.6).abs() < 1e-9 && name == Path::new("c.png"), "{fit:?}");
    let (cut, name) = fit.most_cut.clone().unwrap();
    assert!((cut - (1.0 - 512.0 / 38400.0)).abs() < 1e-6 && name == Path::new("c.png"), "{fit:?}");
    assert!((fit.cut_away - cut / 4.0).abs() < 1e-9);
    let shown = text(&found);
    assert!(
        shown.contains(
            "Size: 3 of 4 pictures are smaller than the training size and enlarged, half of these 8.0 times or \
             more, at most 25.6 times (c.png)"
        ),
        "{shown}"
    );
    assert!(
        shown.contains("is cut away, at most 98.7 % (c.png); 1 of 4 pictures lose more than half"),
        "{shown}"
    );
    assert!(html(&found, 10).contains("at most 25.6 times (c.png)"));
    // What training says at its start.
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap();
    let geometry = |size| GeometrySpec { width: size, height: size, ..GeometrySpec::default() };
    assert_eq!(data.fit(&geometry(512)), found.fit);
    assert_eq!(data.fit(&geometry(512)).notes().len(), 2);
    std::fs::remove_file(dir.path().join("c.png")).unwrap();
    std::fs::remove_file(dir.path().join("c.txt")).unwrap();
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap();
    assert!(data.fit(&geometry(64)).notes().is_empty());
}

#[test]
fn of_very_many_errors_the_first_are_kept_and_all_are_counted() {
    let dir = TempDir::new().unwrap();
    let lines: String = (0..12_000).map(|i| format!("{{\"image\":\"{i}.png\",\"text\":\"x\"}}\n")).collect();
    put(&dir, "metadata.jsonl", lines);
    let found = report(&dir, 64);
    assert_eq!((found.counts.errors, found.pictures), (12_000, 12_000));
    assert_eq!(found.count(Severity::Error, Kind::Missing), 12_000);
    assert_eq!(found.diagnostics.len(), 10_000);
    let shown = text(&found);
    assert!(shown.contains("ERROR: missing files (12000)"), "{shown}");
    assert!(shown.contains("... and 11992 more (--json and --html have the first 10000)"), "{shown}");
    let refused = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap_err();
    assert_eq!((refused.count, refused.errors.len()), (12_000, 10_000));
    let shown = refused.to_string();
    assert!(shown.starts_with("12000 problems in the dataset"), "{shown}");
    assert!(shown.ends_with("... and 11000 more"), "{shown}");
}
