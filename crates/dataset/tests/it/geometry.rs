//! Draws are pure functions, cover their target, and give SDXL's conditions.

use std::collections::HashSet;

use fairhuman_dataset::{Crop, Draw, GeometrySpec, draw};
use proptest::prelude::*;

fn random(width: u32, height: u32) -> GeometrySpec {
    GeometrySpec { width, height, crop: Crop::Random, flip: 0.5, buckets: None }
}

proptest! {
    #[test]
    fn the_picture_covers_the_target_and_keeps_its_shape(
        ow in 1u32..5000, oh in 1u32..5000, w in 1u32..2000, h in 1u32..2000, seed: u64, step: u64, sample: u64,
    ) {
        let d = draw(&random(w, h), (ow, oh), seed, step, sample);
        prop_assert!(d.resized.0 == w || d.resized.1 == h);
        prop_assert!(d.crop_left + w <= d.resized.0 && d.crop_top + h <= d.resized.1);
        let scale = f64::max(f64::from(w) / f64::from(ow), f64::from(h) / f64::from(oh));
        prop_assert!((f64::from(d.resized.0) - f64::from(ow) * scale).abs() <= 0.5 + 1e-6);
        prop_assert!((f64::from(d.resized.1) - f64::from(oh) * scale).abs() <= 0.5 + 1e-6);
    }

    #[test]
    fn equal_arguments_give_equal_draws(ow in 1u32..3000, oh in 1u32..3000, seed: u64, step: u64, sample: u64) {
        let spec = random(256, 192);
        let first = draw(&spec, (ow, oh), seed, step, sample);
        draw(&spec, (ow, oh), seed, step, sample.wrapping_add(1));
        prop_assert_eq!(first, draw(&spec, (ow, oh), seed, step, sample));
    }
}

#[test]
fn seed_step_and_sample_all_matter() {
    let spec = random(512, 512);
    let of = |seed, step, sample| draw(&spec, (4000, 3000), seed, step, sample);
    let mut seen: HashSet<Draw> = HashSet::new();
    for i in 0..10 {
        seen.extend([of(i, 0, 0), of(0, i, 0), of(0, 0, i)]);
    }
    // 28 different arguments; about 170 places and two mirrorings make a few coincidences possible.
    assert!(seen.len() >= 23, "{} different draws", seen.len());
}

#[test]
fn random_crops_reach_both_ends_and_flips_follow_their_probability() {
    let spec = GeometrySpec { flip: 0.25, ..random(64, 64) };
    let draws: Vec<Draw> = (0..4000).map(|i| draw(&spec, (80, 64), 1, i, 0)).collect();
    let mut counts = [0; 17];
    for d in &draws {
        counts[d.crop_left as usize] += 1;
    }
    assert!(counts.iter().all(|&c| (140..340).contains(&c)), "{counts:?}");
    let flips = draws.iter().filter(|d| d.flip).count();
    assert!((880..1120).contains(&flips), "{flips} of 4000");
    for (flip, expected) in [(0.0, 0), (1.0, 4000)] {
        let spec = GeometrySpec { flip, ..spec };
        let n = (0..4000).filter(|&i| draw(&spec, (80, 64), 1, i, 0).flip).count();
        assert_eq!(n, expected);
    }
}

#[test]
fn one_option_leaves_the_others_as_they_were() {
    let spec = random(64, 64);
    for i in 0..100 {
        let with = draw(&spec, (200, 300), 9, i, 2);
        let without = draw(&GeometrySpec { flip: 0.0, ..spec }, (200, 300), 9, i, 2);
        assert_eq!((with.crop_left, with.crop_top), (without.crop_left, without.crop_top));
        let centred = draw(&GeometrySpec { crop: Crop::Center, ..spec }, (200, 300), 9, i, 2);
        assert_eq!(with.flip, centred.flip);
        assert_eq!((centred.crop_left, centred.crop_top), (0, 16));
    }
}

#[test]
fn time_ids_are_heights_before_widths() {
    let spec = GeometrySpec { width: 64, height: 32, ..GeometrySpec::default() };
    let d = draw(&spec, (200, 300), 0, 0, 0);
    assert_eq!(d.resized, (64, 96));
    assert_eq!(d.time_ids(), [300.0, 200.0, 32.0, 0.0, 32.0, 64.0]);
}

#[test]
fn impossible_geometries_are_named() {
    let check = |width, height, flip| {
        let spec = GeometrySpec { width, height, flip, ..GeometrySpec::default() };
        spec.check(8).map_err(|e| e.to_string())
    };
    assert_eq!(check(64, 64, 0.5), Ok(()));
    for (w, h) in [(60, 64), (64, 0), (0, 0)] {
        let e = check(w, h, 0.0).unwrap_err();
        assert!(e.contains(&format!("{w} x {h}")) && e.contains("multiples of 8"), "{e}");
    }
    for flip in [-0.1, 1.1, f32::NAN] {
        assert!(check(64, 64, flip).unwrap_err().contains("flip"));
    }
    let spec: GeometrySpec = toml::from_str("width = 512\ncrop = \"random\"").unwrap();
    assert_eq!((spec.width, spec.height, spec.crop), (512, 1024, Crop::Random));
    assert!(toml::from_str::<GeometrySpec>("witdh = 512").is_err());
}
