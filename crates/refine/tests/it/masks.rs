//! Soft masks, cutting and pasting.

use fairhuman_refine::{Kind, Margins, Mode, Rect, Region, Sheet, SoftMask, Tile, components, paste, plan};
use image::{GrayImage, Luma, Rgb, RgbImage};
use proptest::prelude::*;

use crate::layout::model;

fn small() -> impl Strategy<Value = (u32, u32)> {
    prop_oneof![(20..140_u32, 20..140_u32), (1..9_u32, 1..9_u32)]
}

/// A picture in which every pixel differs from its neighbours.
fn noise((width, height): (u32, u32), seed: u32) -> RgbImage {
    let byte = |n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8;
    RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| byte(seed + c + 3 * x + 1009 * y))))
}

/// A box with pixels of a picture of size 1; its corners may lie outside.
fn part() -> impl Strategy<Value = Rect> {
    (-0.4..0.9_f64, -0.4..0.9_f64, 0.5..1.3_f64, 0.5..1.3_f64).prop_map(|(x0, y0, w, h)| Rect {
        x0,
        y0,
        x1: x0 + w,
        y1: y0 + h,
    })
}

fn scaled(part: Rect, (width, height): (u32, u32), size: f64) -> Rect {
    let (w, h) = (f64::from(width), f64::from(height));
    let (x0, y0) = (part.x0 * w, part.y0 * h);
    // Small regions, but some of their pixels lie in the picture.
    let (x0, y0) = (x0.max(0.0), y0.max(0.0));
    Rect { x0, y0, x1: x0 + size * part.width() * w, y1: y0 + size * part.height() * h }
}

/// A region in the picture, and its sheet.
fn region(bounds: Rect, points: Vec<[f64; 2]>) -> Region {
    Region { kind: Kind::Hand, bounds, points, score: None }
}

fn sheet(region: &Region, picture: (u32, u32), model: fairhuman_refine::ModelSize) -> Sheet {
    plan(Mode::Crops, &[(region.context(2.5), 0)], picture, model).remove(0)
}

/// Weights at those borders of a tile where the picture goes on.
fn at_borders(mask: &SoftMask, tile: &Tile, picture: (u32, u32)) -> Vec<f32> {
    let area = tile.pixels();
    let mut found = Vec::new();
    for y in area.y..area.bottom() {
        for x in area.x..area.right() {
            let side = (x == area.x && x > 0) || (x + 1 == area.right() && x + 1 < picture.0);
            let end = (y == area.y && y > 0) || (y + 1 == area.bottom() && y + 1 < picture.1);
            if side || end {
                found.push(mask.at(x, y));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mask_is_zero_at_the_borders_of_its_tile_and_outside(
        picture in small(),
        model in model(),
        part in part(),
        size in 0.05..1.0_f64,
        hull in any::<bool>(),
        margin in 0.0..2.0_f64,
        feather in 0.0..2.0_f64,
    ) {
        let bounds = scaled(part, picture, size);
        let Rect { x0, y0, x1, y1 } = bounds;
        let points = if hull { vec![[x0, y1], [x1, y1], [(x0 + x1) / 2.0, y0]] } else { vec![] };
        let region = region(bounds, points);
        let tile = sheet(&region, picture, model).tiles.remove(0);
        let mask = SoftMask::of_region(&region, &tile, picture, Margins { margin, feather });
        prop_assert!(at_borders(&mask, &tile, picture).iter().all(|&weight| weight == 0.0));
        let area = tile.pixels();
        for (x, y) in [(area.right(), area.y), (area.x, area.bottom())] {
            prop_assert_eq!(mask.at(x, y), 0.0);
        }
        for weight in tile.cut_mask(&mask) {
            prop_assert!((0.0..=1.0).contains(&weight));
        }
        if let Some(support) = mask.support() {
            prop_assert!(support.right() <= area.right() && support.bottom() <= area.bottom());
        }
    }

    #[test]
    fn no_pixel_outside_of_the_mask_changes(
        picture in small(),
        model in model(),
        part in part(),
        size in 0.05..1.0_f64,
        seed in 0..1000_u32,
    ) {
        let region = region(scaled(part, picture, size), vec![]);
        let tile = sheet(&region, picture, model).tiles.remove(0);
        let mask = SoftMask::of_region(&region, &tile, picture, Margins::default());
        let before = noise(picture, seed);
        let mut after = before.clone();
        let made = noise((tile.target.width, tile.target.height), seed + 7);
        paste(&mut after, &tile, &tile.back(&made), &mask);
        for (x, y, pixel) in after.enumerate_pixels() {
            if mask.at(x, y) == 0.0 {
                prop_assert_eq!(pixel, before.get_pixel(x, y));
            }
        }
    }

    #[test]
    fn what_is_not_enlarged_comes_back_as_it_was(picture in (90..140_u32, 90..140_u32), seed in 0..1000_u32, x in -40.0..100.0_f64, y in -40.0..100.0_f64) {
        let model = fairhuman_refine::ModelSize { width: 8, height: 8, multiple: 8 };
        let context = Rect { x0: x, y0: y, x1: x + 64.0, y1: y + 48.0 };
        let tile = plan(Mode::Crops, &[(context, 0)], picture, model).remove(0).tiles.remove(0);
        prop_assert_eq!(tile.scale, 1.0);
        let before = noise(picture, seed);
        let cut = tile.cut(&before);
        prop_assert_eq!(&tile.back(&cut), &cut);
        for (x, y, pixel) in cut.enumerate_pixels() {
            prop_assert_eq!(pixel, before.get_pixel(tile.pixels().x + x, tile.pixels().y + y));
        }
    }
}

const MODEL: fairhuman_refine::ModelSize =
    fairhuman_refine::ModelSize { width: 256, height: 256, multiple: 8 };

#[test]
fn picture_and_mask_are_cut_by_one_map() {
    // A white corner: where the picture is white on the sheet, the mask is, too.
    let bounds = Rect { x0: 60.0, y0: 40.0, x1: 90.0, y1: 62.0 };
    let white = |x: u32, y: u32| x >= 75 && y < 50;
    let picture = RgbImage::from_fn(200, 150, |x, y| Rgb([if white(x, y) { 255 } else { 0 }; 3]));
    let gray = GrayImage::from_fn(200, 150, |x, y| Luma([if white(x, y) { 255 } else { 0 }]));
    let tile = sheet(&region(bounds, vec![]), (200, 150), MODEL).tiles.remove(0);
    let cut = tile.cut(&picture);
    let mask = tile.cut_mask(&SoftMask::of_part(&gray, &Rect::whole((200, 150)), &tile));
    let mut counted = 0;
    for (i, (pixel, weight)) in cut.pixels().zip(&mask).enumerate() {
        let (x, y) = (i as u32 % cut.width(), i as u32 / cut.width());
        let [u, v] = tile.map().to_picture([f64::from(x) + 0.5, f64::from(y) + 0.5]);
        let apart = (u - 75.0).abs().min((v - 50.0).abs());
        let border = u < tile.source.x0 + 4.0 || u > tile.source.x1 - 4.0 || v < tile.source.y0 + 4.0;
        // Beside the edges, where filters mix, and the borders, where the mask is 0.
        if apart > 3.5 && !border {
            let expected = if u > 75.0 && v < 50.0 { 1.0 } else { 0.0 };
            assert_eq!(f32::from(pixel.0[0]) / 255.0, expected, "{u} {v}");
            assert_eq!(*weight, expected, "{u} {v}");
            counted += 1;
        }
    }
    assert!(counted > 30_000, "{counted}");
}

#[test]
fn a_mask_is_whole_on_its_region_and_falls_from_the_margin_on() {
    let bounds = Rect { x0: 80.0, y0: 60.0, x1: 120.0, y1: 100.0 };
    let region = region(bounds, vec![]);
    let tile = sheet(&region, (200, 160), MODEL).tiles.remove(0);
    let mask = SoftMask::of_region(&region, &tile, (200, 160), Margins { margin: 0.1, feather: 0.2 });
    assert_eq!((mask.at(100, 80), mask.at(119, 80), mask.at(123, 80)), (1.0, 1.0, 1.0));
    let ramp: Vec<f32> = (124..133).map(|x| mask.at(x, 80)).collect();
    assert!(ramp.windows(2).all(|pair| pair[0] > pair[1] || pair == [0.0, 0.0]), "{ramp:?}");
    assert!(ramp[4] > 0.3 && ramp[4] < 0.6 && ramp[8] == 0.0, "{ramp:?}");
}

#[test]
fn a_region_that_the_picture_cuts_changes_up_to_the_pictures_edge() {
    let bounds = Rect { x0: -10.0, y0: 50.0, x1: 30.0, y1: 90.0 };
    let region = region(bounds, vec![]);
    let tile = sheet(&region, (200, 160), MODEL).tiles.remove(0);
    let mask = SoftMask::of_region(&region, &tile, (200, 160), Margins::default());
    assert_eq!(mask.at(0, 70), 1.0);
}

#[test]
fn parts_of_a_mask_are_found_with_their_diagonals() {
    let rows = ["##....", "#.....", "...##.", ".....#", "......", "#....."];
    let mask = GrayImage::from_fn(6, 6, |x, y| {
        Luma([if rows[y as usize].as_bytes()[x as usize] == b'#' { 90 } else { 0 }])
    });
    let boxes: Vec<[f64; 4]> = components(&mask).iter().map(|r| [r.x0, r.y0, r.x1, r.y1]).collect();
    assert_eq!(boxes, [[0.0, 0.0, 2.0, 2.0], [3.0, 2.0, 6.0, 4.0], [0.0, 5.0, 1.0, 6.0]]);
}
