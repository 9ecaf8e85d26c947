//! Colours of a result are those of the picture at its edge.

use fairhuman_refine::{Kind, Margins, Mode, ModelSize, Rect, Region, SoftMask, paste, plan};
use image::{Rgb, RgbImage};

const SIZE: (u32, u32) = (160, 120);

/// A picture with texture.
fn textured(level: i32, depth: i32) -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let wave = if (x / 2 + y / 3) % 2 == 0 { depth } else { -depth };
        Rgb([level, level + 20, level - 10].map(|v| (v + wave).clamp(0, 255) as u8))
    })
}

fn pasted(before: &RgbImage, made: &RgbImage) -> (RgbImage, SoftMask) {
    let bounds = Rect { x0: 60.0, y0: 40.0, x1: 100.0, y1: 80.0 };
    let region = Region { kind: Kind::Face, bounds, points: vec![], score: None };
    let model = ModelSize { width: 8, height: 8, multiple: 8 };
    let tile = plan(Mode::Crops, &[(region.context(2.5), 0)], SIZE, model).remove(0).tiles.remove(0);
    let mask = SoftMask::of_region(&region, &tile, SIZE, Margins::default());
    let mut after = before.clone();
    assert_eq!(tile.scale, 1.0);
    paste(&mut after, &tile, &tile.cut(made), &mask);
    (after, mask)
}

#[test]
fn a_result_that_is_darker_and_flatter_is_brought_back() {
    let (before, made) = (textured(120, 20), textured(95, 18));
    let (after, _) = pasted(&before, &made);
    let worst = after
        .pixels()
        .zip(before.pixels())
        .flat_map(|(a, b)| (0..3).map(|c| i32::from(a.0[c]) - i32::from(b.0[c])).collect::<Vec<_>>());
    assert!(worst.map(i32::abs).max() <= Some(1));
}

#[test]
fn the_deviation_is_changed_within_bounds_only() {
    // The ring of the picture is flat: texture inside stays, but for a fifth.
    let (before, made) = (textured(120, 0), textured(120, 40));
    let (after, mask) = pasted(&before, &made);
    assert_eq!(mask.at(80, 60), 1.0);
    let inside: Vec<i32> = (70..90).map(|x| i32::from(after.get_pixel(x, 60).0[0])).collect();
    let depth = (inside.iter().max().unwrap() - inside.iter().min().unwrap()) / 2;
    assert!((31..=33).contains(&depth), "{depth}: 40 times 0.8");
}
