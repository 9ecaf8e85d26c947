//! Masks at latent resolution: thin ones survive, shares are exact, absence is absence.

use crate::common::{messages, plain, put, spec, write, write_all};
use fairhuman_dataset::{Crop, Dataset, DatasetSpec, GeometrySpec, LatentMask, Region, Sample, Wanted, draw};
use image::{GrayImage, Luma, Rgba, RgbaImage};
use tempfile::TempDir;

/// One picture of the mask's size with this mask, loaded to `width x height` pixels and cells of 8.
fn load(mask: &GrayImage, width: u32, height: u32, threshold: Option<f32>) -> Sample {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("mask.png"), mask, None);
    let spec = GeometrySpec { width, height, ..GeometrySpec::default() };
    load_in(&dir, mask.dimensions(), &spec, threshold).unwrap_or_else(|e| panic!("{e}"))
}

/// The same with a `mask.png` that already lies in `dir`.
fn load_in(
    dir: &TempDir,
    size: (u32, u32),
    geometry: &GeometrySpec,
    threshold: Option<f32>,
) -> Result<Sample, String> {
    write(&dir.path().join("a.png"), &plain(size.0, size.1, 128), None);
    std::fs::write(dir.path().join("metadata.jsonl"), r#"{"image":"a.png","text":"x","mask":"mask.png"}"#)
        .unwrap();
    let mut spec = DatasetSpec::new("");
    spec.mask_threshold = threshold.unwrap_or(spec.mask_threshold);
    let regions = [Region::new("thing", "mask")];
    let data = Dataset::open(dir.path(), &spec, &regions).map_err(|e| e.to_string())?;
    let d = draw(geometry, size, 0, 0, 0);
    data.load(0, &d, 8, Wanted::ALL).map_err(|e| e.to_string())
}

fn only(s: &Sample) -> &LatentMask {
    s.masks[0].as_ref().expect("the region is in the picture")
}

#[test]
fn lines_of_one_pixel_survive_up_to_eightfold_reduction() {
    for scale in [1, 2, 3, 4, 8] {
        let (w, h) = (64 * scale, 48 * scale);
        for at in [0, 1, 5, 7, 8, 31, 44] {
            let at = at * scale + scale / 2;
            let down = GrayImage::from_fn(w, h, |x, _| Luma([if x == at { 255 } else { 0 }]));
            let across = GrayImage::from_fn(w, h, |_, y| Luma([if y == at { 255 } else { 0 }]));
            let cell = (at / (8 * scale)) as usize;
            let s = load(&down, 64, 48, None);
            for (i, &c) in only(&s).cells.iter().enumerate() {
                assert_eq!(c == 1.0, i % 8 == cell, "column {at} of {w}, cell {i}");
            }
            let s = load(&across, 64, 48, None);
            for (i, &c) in only(&s).cells.iter().enumerate() {
                assert_eq!(c == 1.0, i / 8 == cell, "row {at} of {h}, cell {i}");
            }
        }
    }
}

#[test]
fn a_single_pixel_survives_at_its_own_size() {
    for (x, y) in [(0, 0), (63, 63), (17, 40)] {
        let mut mask = plain(64, 64, 0);
        mask.put_pixel(x, y, Luma([255]));
        let s = load(&mask, 64, 64, None);
        let ones: Vec<usize> = (0..64).filter(|&i| only(&s).cells[i] == 1.0).collect();
        assert_eq!(ones, [(y / 8 * 8 + x / 8) as usize]);
        assert!((only(&s).share - 1.0 / 4096.0).abs() < 1e-9);
    }
}

#[test]
fn the_threshold_is_the_covered_share_of_a_cell() {
    // Cell i is covered by i of 8 columns.
    let mask = GrayImage::from_fn(64, 8, |x, _| Luma([if x % 8 < x / 8 { 255 } else { 0 }]));
    for (threshold, first) in [(0.01, 1), (0.125, 1), (0.126, 2), (0.5, 4), (0.875, 7)] {
        let s = load(&mask, 64, 8, Some(threshold));
        let expected: Vec<f32> = (0..8).map(|i| if i >= first { 1.0 } else { 0.0 }).collect();
        assert_eq!(only(&s).cells, expected, "threshold {threshold}");
        assert!((only(&s).share - 28.0 / 64.0).abs() < 1e-6);
    }
    assert!(load(&mask, 64, 8, Some(1.0)).masks[0].is_none());
}

#[test]
fn shares_are_exact_when_cells_cut_pixels() {
    // 60 pixels become 7 x 8: cells of 8.57 pixels. A box of 13 x 11 keeps its area.
    let mask = GrayImage::from_fn(60, 60, |x, y| {
        Luma([if (20..33).contains(&x) && (5..16).contains(&y) { 255 } else { 0 }])
    });
    let s = load(&mask, 56, 56, None);
    assert!((only(&s).share - 143.0 / 3600.0).abs() < 1e-6, "{}", only(&s).share);
    // Enlarged: the same share again, and the same cells as the box's rectangle touches.
    let s = load(&mask, 480, 480, None);
    assert!((only(&s).share - 143.0 / 3600.0).abs() < 1e-6);
    assert_eq!(only(&s).cells.iter().sum::<f32>(), 143.0);
}

#[test]
fn full_masks_are_full_and_black_ones_absent() {
    let s = load(&plain(70, 50, 255), 48, 32, Some(1.0));
    assert_eq!(only(&s).cells, vec![1.0; 24]);
    assert_eq!(only(&s).share, 1.0);
    assert_eq!((only(&s).height, only(&s).width), (4, 6));
    assert!(load(&plain(70, 50, 0), 48, 32, None).masks[0].is_none());
}

#[test]
fn masks_and_picture_can_be_had_apart_and_the_picture_is_not_decoded_for_the_masks() {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("a.png"), &plain(64, 64, 128), None);
    write(&dir.path().join("mask.png"), &plain(64, 64, 255), None);
    put(&dir, "metadata.jsonl", r#"{"image":"a.png","text":"x","mask":"mask.png"}"#);
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[Region::new("thing", "mask")]).unwrap();
    let d = draw(&GeometrySpec { width: 32, height: 32, ..GeometrySpec::default() }, (64, 64), 0, 0, 0);
    let whole = data.load(0, &d, 8, Wanted::ALL).unwrap();
    let load = |wanted| data.load(0, &d, 8, wanted);
    let only_masks = Wanted { masks: true, ..Wanted::NOTHING };
    let masks = load(only_masks).unwrap();
    let image = load(Wanted::IMAGE).unwrap();
    assert!(masks.image.is_empty() && image.masks.is_empty());
    assert_eq!(Sample { image: image.image, ..masks.clone() }, whole);
    // Damage the pixels, and leave the header: only what needs the pixels fails.
    let path = dir.path().join("a.png");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4].fill(0xaa);
    std::fs::write(&path, bytes).unwrap();
    assert!(load(Wanted::ALL).is_err() && load(Wanted::IMAGE).is_err());
    assert_eq!(load(only_masks).unwrap(), masks);
}

#[test]
fn a_region_that_no_picture_has_is_refused() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png", "b.png", "m/a.png"]);
    put(&dir, "a.txt", "a");
    put(&dir, "b.txt", "b");
    let open = |mask: &str| {
        let spec = spec("path = \".\"\nmissing_mask = \"absent\"");
        Dataset::open(dir.path(), &spec, &[Region::new("face", mask)])
    };
    assert!(open("m").is_ok(), "one picture has it");
    let error = open("-masklable.png").unwrap_err();
    assert_eq!(error.errors.len(), 1, "{error}");
    assert!(
        error.to_string().contains("mask of `face`: no picture has any of it: is its name right?"),
        "{error}"
    );
}

#[test]
fn a_region_outside_the_crop_is_absent() {
    let mask = GrayImage::from_fn(200, 64, |x, _| Luma([if x < 20 { 255 } else { 0 }]));
    assert!(load(&mask, 64, 64, None).masks[0].is_none(), "the middle 64 of 200 columns");
}

#[test]
fn soft_edges_count_by_their_gray() {
    // A line between two columns, anti-aliased: rounding each pixel first would lose it.
    let mask = GrayImage::from_fn(64, 64, |x, _| match x {
        11 | 12 => Luma([127]),
        40 => Luma([255]),
        _ => Luma([0]),
    });
    let s = load(&mask, 64, 64, None);
    assert_eq!(only(&s).cells[..8], [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn masks_written_as_zero_and_one_are_refused() {
    let dir = TempDir::new().unwrap();
    let mask = GrayImage::from_fn(16, 16, |x, _| Luma([u8::from(x < 8)]));
    write(&dir.path().join("mask.png"), &mask, None);
    let spec = GeometrySpec { width: 16, height: 16, ..GeometrySpec::default() };
    let error = load_in(&dir, (16, 16), &spec, None).unwrap_err();
    assert!(error.contains("metadata.jsonl line 1: mask of `thing` mask.png"), "{error}");
    assert!(error.contains("brightest value is 1 of 255"), "{error}");
}

#[test]
fn sixteen_bit_masks_of_small_numbers_are_refused_and_do_not_pass_for_absence() {
    let geometry = GeometrySpec { width: 16, height: 16, ..GeometrySpec::default() };
    let load = |value: u16| {
        let dir = TempDir::new().unwrap();
        let value = |x, _| Luma([if x < 8 { value } else { 0u16 }]);
        image::ImageBuffer::from_fn(16, 16, value).save(dir.path().join("mask.png")).unwrap();
        load_in(&dir, (16, 16), &geometry, None)
    };
    for value in [1, 100, 255, 32_000] {
        let error = load(value).unwrap_err();
        assert!(error.contains(&format!("its brightest value is {value} of 65535")), "{error}");
    }
    assert!(load(0).unwrap().masks[0].is_none());
    assert_eq!(only(&load(65_535).unwrap()).cells, [1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn masks_that_are_their_own_pictures_are_told() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png", "b.png", "c.png"]);
    let line =
        |image: &str, mask: &str| format!(r#"{{"image":"{image}","text":"x","mask":"{mask}"}}"#) + "\n";
    let told = |masks: [&str; 2]| {
        put(&dir, "metadata.jsonl", line("a.png", masks[0]) + &line("b.png", masks[1]));
        let data =
            Dataset::open(dir.path(), &DatasetSpec::new("."), &[Region::new("thing", "mask")]).unwrap();
        messages(&data)
    };
    assert!(told(["c.png", "a.png"]).is_empty());
    let both = told(["a.png", "b.png"]);
    assert!(both.len() == 1 && both[0].contains("mask of `thing` a.png: is the picture itself"), "{both:?}");
    assert!(both[0].ends_with("likewise 1 more"), "{both:?}");
}

#[test]
fn masks_may_be_coloured_transparent_or_16_bit() {
    let inside = |x: u32, y: u32| x >= 16 && y < 8;
    let save = |kind: &str, path: &std::path::Path| match kind {
        "red" => RgbaImage::from_fn(32, 16, |x, y| match inside(x, y) {
            true => Rgba([255, 0, 0, 255]),
            false => Rgba([0, 0, 0, 255]),
        })
        .save(path)
        .unwrap(),
        "transparent" => RgbaImage::from_fn(32, 16, |x, y| match inside(x, y) {
            true => Rgba([255, 255, 255, 255]),
            false => Rgba([255, 255, 255, 0]),
        })
        .save(path)
        .unwrap(),
        _ => image::ImageBuffer::<Luma<u16>, _>::from_fn(32, 16, |x, y| {
            Luma([if inside(x, y) { 65535 } else { 0 }])
        })
        .save(path)
        .unwrap(),
    };
    for kind in ["red", "transparent", "16-bit"] {
        let dir = TempDir::new().unwrap();
        save(kind, &dir.path().join("mask.png"));
        let spec = GeometrySpec { width: 32, height: 16, crop: Crop::Random, flip: 0.0, buckets: None };
        let s = load_in(&dir, (32, 16), &spec, None).unwrap();
        assert_eq!(only(&s).cells, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], "{kind}");
    }
}

#[test]
fn a_mask_drawn_in_black_on_nothing_has_its_shape_in_alpha() {
    let dir = TempDir::new().unwrap();
    let left = |x: u32| if x < 8 { 255 } else { 0 };
    let path = dir.path().join("mask.png");
    let geometry = GeometrySpec { width: 16, height: 16, ..GeometrySpec::default() };
    let cells = || only(&load_in(&dir, (16, 16), &geometry, None).unwrap()).cells.clone();
    RgbaImage::from_fn(16, 16, |x, _| Rgba([0, 0, 0, left(x)])).save(&path).unwrap();
    assert_eq!(cells(), [1.0, 0.0, 1.0, 0.0]);
    let options = fairhuman_dataset::check::Options { geometry, ..Default::default() };
    let regions = [Region::new("thing", "mask")];
    let report =
        fairhuman_dataset::check::check(dir.path(), &DatasetSpec::new(""), &regions, &options, &|_, _| {});
    let told = report.diagnostics.iter().any(|d| d.message.contains("its shape is in its alpha channel"));
    assert!(told, "{:?}", report.diagnostics);
    // White on nothing, and colours, are masks by their colour; nothing at all is none.
    RgbaImage::from_fn(16, 16, |x, _| Rgba([left(15 - x); 4])).save(&path).unwrap();
    assert_eq!(cells(), [0.0, 1.0, 0.0, 1.0]);
    RgbaImage::from_fn(16, 16, |_, _| Rgba([0, 0, 0, 255])).save(&path).unwrap();
    assert!(load_in(&dir, (16, 16), &geometry, None).unwrap().masks[0].is_none());
}
