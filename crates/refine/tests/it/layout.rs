//! Crops, mosaics and their maps.

use fairhuman_refine::{Kind, Mode, ModelSize, PixelRect, Rect, Region, Sheet, choose_mode, pack, plan};
use proptest::prelude::*;

fn rect() -> impl Strategy<Value = Rect> {
    (-100.0..1200.0, -100.0..1200.0, 0.0..600.0, 0.0..600.0)
        .prop_map(|(x0, y0, w, h): (f64, f64, f64, f64)| Rect { x0, y0, x1: x0 + w, y1: y0 + h })
}

fn picture() -> impl Strategy<Value = (u32, u32)> {
    prop_oneof![(1..1500_u32, 1..1500_u32), (1..12_u32, 1..12_u32), (1..4_u32, 500..1500_u32)]
}

pub fn model() -> impl Strategy<Value = ModelSize> {
    prop_oneof![Just((8, 512, 512)), Just((4, 96, 96)), Just((64, 1024, 1024)), Just((32, 832, 1216))]
        .prop_map(|(multiple, width, height)| ModelSize { width, height, multiple })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Whole), Just(Mode::Crops), Just(Mode::Mosaic)]
}

/// Boxes that have pixels of the picture, with their groups.
fn boxes(picture: (u32, u32), all: &[(Rect, usize)]) -> Vec<(Rect, usize)> {
    let whole = Rect::whole(picture);
    all.iter().copied().filter(|(rect, _)| rect.intersection(&whole).area() > 0.0).collect()
}

fn inside(sheet: &Sheet, picture: (u32, u32)) {
    let whole = Rect::whole(picture);
    for tile in &sheet.tiles {
        let Rect { x0, y0, x1, y1 } = tile.source;
        assert!(
            x0 >= 0.0 && y0 >= 0.0 && x1 <= whole.x1 && y1 <= whole.y1,
            "{:?} in {picture:?}",
            tile.source
        );
        assert!(tile.scale >= 1.0, "shrunk by {}", tile.scale);
        // One factor for both sides.
        for (length, side) in [(x1 - x0, tile.target.width), (y1 - y0, tile.target.height)] {
            assert!((length * tile.scale - f64::from(side)).abs() < 1e-6 * f64::from(side).max(1.0));
        }
        let PixelRect { x, y, .. } = tile.pixels();
        let (right, bottom) = (tile.pixels().right(), tile.pixels().bottom());
        assert!(f64::from(x) >= x0 && f64::from(y) >= y0);
        assert!(right <= picture.0 && bottom <= picture.1);
        assert!(f64::from(right) <= x1 + 1e-5 && f64::from(bottom) <= y1 + 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tile_lies_inside_its_picture_and_is_enlarged_by_one_factor(
        picture in picture(),
        model in model(),
        mode in mode(),
        all in prop::collection::vec((rect(), 0..2_usize), 1..9),
    ) {
        let contexts = boxes(picture, &all);
        let sheets = plan(mode, &contexts, picture, model);
        let mut members: Vec<usize> = Vec::new();
        for sheet in &sheets {
            inside(sheet, picture);
            prop_assert!(sheet.size.0 % model.multiple == 0 && sheet.size.1 % model.multiple == 0);
            for (i, tile) in sheet.tiles.iter().enumerate() {
                prop_assert!(tile.target.right() <= sheet.size.0 && tile.target.bottom() <= sheet.size.1);
                for side in [tile.target.x, tile.target.y, tile.target.width, tile.target.height] {
                    prop_assert_eq!(side % model.multiple, 0);
                }
                for other in &sheet.tiles[..i] {
                    prop_assert!(!tile.target.overlaps(&other.target));
                }
            }
            // Different prompts never share a sheet.
            let groups: Vec<usize> =
                sheet.tiles.iter().flat_map(|t| &t.members).map(|&i| contexts[i].1).collect();
            prop_assert!(groups.windows(2).all(|pair| pair[0] == pair[1]));
            members.extend(sheet.tiles.iter().flat_map(|tile| tile.members.clone()));
        }
        members.sort_unstable();
        prop_assert_eq!(members, (0..contexts.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_crop_holds_its_box_where_the_picture_has_room(
        model in model(),
        x in 300.0..700.0_f64,
        y in 300.0..700.0_f64,
        w in 8.0..300.0_f64,
        h in 8.0..300.0_f64,
    ) {
        let context = Rect { x0: x, y0: y, x1: x + w, y1: y + h };
        prop_assume!(w / h < 3.0 && h / w < 3.0);
        let sheets = plan(Mode::Crops, &[(context, 0)], (2000, 2000), model);
        let Rect { x0, y0, x1, y1 } = sheets[0].tiles[0].source;
        // The corner is rounded to a pixel; sides to cells, where nothing is enlarged.
        let slack = if sheets[0].tiles[0].scale > 1.0 { 0.5 } else { 1.0 + f64::from(model.multiple) };
        prop_assert!(x0 <= x + slack && y0 <= y + slack);
        prop_assert!(x1 >= x + w - slack && y1 >= y + h - slack);
    }

    #[test]
    fn maps_invert(picture in picture(), model in model(), mode in mode(), rect in rect(), x in 0.0..1500.0, y in 0.0..1500.0) {
        for (rect, group) in boxes(picture, &[(rect, 0)]) {
            let sheets = plan(mode, &[(rect, group)], picture, model);
            let tile = &sheets[0].tiles[0];
            let map = tile.map();
            let [u, v] = map.to_picture(map.to_sheet([x, y]));
            prop_assert!((u - x).abs() < 1e-6 && (v - y).abs() < 1e-6);
            // The source's corners are the target's.
            let [left, top] = map.to_sheet([tile.source.x0, tile.source.y0]);
            let [right, bottom] = map.to_sheet([tile.source.x1, tile.source.y1]);
            prop_assert!((left - f64::from(tile.target.x)).abs() < 1e-6);
            prop_assert!((top - f64::from(tile.target.y)).abs() < 1e-6);
            prop_assert!((right - f64::from(tile.target.right())).abs() < 1e-4);
            prop_assert!((bottom - f64::from(tile.target.bottom())).abs() < 1e-4);
        }
    }

    #[test]
    fn packing_never_overlaps(
        boxes in prop::collection::vec((1..300_u32, 1..300_u32), 0..20),
        area in (1..900_u32, 1..900_u32),
        gutter in 0..40_u32,
    ) {
        let Some(places) = pack(&boxes, area, gutter) else { return Ok(()) };
        let placed: Vec<PixelRect> = boxes
            .iter()
            .zip(&places)
            .map(|(&(width, height), &(x, y))| PixelRect { x, y, width, height })
            .collect();
        for (i, a) in placed.iter().enumerate() {
            prop_assert!(a.right() <= area.0 && a.bottom() <= area.1);
            for b in &placed[..i] {
                // With the gutter added to one of them.
                let wide = PixelRect { width: b.width + gutter, height: b.height + gutter, ..*b };
                let other = PixelRect { width: a.width + gutter, height: a.height + gutter, ..*a };
                prop_assert!(!wide.overlaps(a) && !other.overlaps(b), "{a:?} {b:?}");
            }
        }
    }
}

const SDXL: ModelSize = ModelSize { width: 1024, height: 1024, multiple: 8 };

fn square(x: f64, y: f64, side: f64) -> Rect {
    Rect { x0: x, y0: y, x1: x + side, y1: y + side }
}

#[test]
fn a_crop_has_the_models_area_and_is_moved_not_padded() {
    let sheets = plan(Mode::Crops, &[(square(-50.0, 900.0, 200.0), 0)], (1500, 1000), SDXL);
    let tile = &sheets[0].tiles[0];
    assert_eq!(sheets[0].size, (1024, 1024));
    assert_eq!(tile.source, Rect { x0: 0.0, y0: 800.0, x1: 200.0, y1: 1000.0 });
    // Never shrunk.
    let large = plan(Mode::Crops, &[(square(0.0, 0.0, 1600.0), 0)], (2000, 2000), SDXL);
    assert_eq!((large[0].size, large[0].tiles[0].scale), ((1600, 1600), 1.0));
}

#[test]
fn crops_share_one_where_their_union_is_still_enlarged() {
    let near = [(square(100.0, 100.0, 200.0), 0), (square(350.0, 100.0, 200.0), 0)];
    let far = [(square(100.0, 100.0, 200.0), 0), (square(1500.0, 1200.0, 200.0), 0)];
    let other = [(square(100.0, 100.0, 200.0), 0), (square(350.0, 100.0, 200.0), 1)];
    let count = |contexts: &[(Rect, usize)]| plan(Mode::Crops, contexts, (2000, 1500), SDXL).len();
    assert_eq!((count(&near), count(&far), count(&other)), (1, 2, 2));
}

#[test]
fn a_mosaic_shows_several_at_one_factor_with_cells_between() {
    let contexts: Vec<(Rect, usize)> =
        (0..5).map(|i| (square(150.0 * f64::from(i), 40.0, 100.0 + f64::from(i)), 0)).collect();
    let sheets = plan(Mode::Mosaic, &contexts, (900, 600), SDXL);
    assert_eq!((sheets.len(), sheets[0].size, sheets[0].tiles.len()), (1, (1024, 1024), 5));
    let scale = sheets[0].tiles[0].scale;
    assert!(scale > 2.5 && sheets[0].tiles.iter().all(|tile| tile.scale == scale), "{scale}");
    for (i, a) in sheets[0].tiles.iter().enumerate() {
        for b in &sheets[0].tiles[..i] {
            let wide = PixelRect { width: b.target.width + 15, height: b.target.height + 15, ..b.target };
            let beside = a.target.x >= b.target.right() + 16 || a.target.right() + 16 <= b.target.x;
            let below = a.target.y >= b.target.bottom() + 16 || a.target.bottom() + 16 <= b.target.y;
            assert!(!wide.overlaps(&a.target) || beside || below, "{a:?} {b:?}");
        }
    }
    // What does not fit in its own size goes on another sheet.
    let many: Vec<(Rect, usize)> = (0..5).map(|i| (square(150.0 * f64::from(i), 0.0, 500.0), 0)).collect();
    let sheets = plan(Mode::Mosaic, &many, (1500, 600), SDXL);
    assert_eq!(sheets.iter().map(|sheet| sheet.tiles.len()).collect::<Vec<_>>(), [4, 1]);
}

#[test]
fn the_published_rules_choose_the_mode() {
    let region =
        |kind, side: f64| Region { kind, bounds: square(0.0, 0.0, side), points: vec![], score: None };
    let mode = |side, people| choose_mode(&[region(Kind::Hand, side)], people, (1000, 1000));
    assert_eq!(mode(100.0, 1), Mode::Crops); // 1 %
    assert_eq!(mode(320.0, 2), Mode::Whole); // 10.24 %
    assert_eq!(mode(320.0, 3), Mode::Mosaic);
    assert_eq!(mode(320.0, 5), Mode::Crops);
    assert_eq!(mode(200.0, 1), Mode::Mosaic); // 4 %
    assert_eq!(choose_mode(&[region(Kind::Other, 900.0)], 1, (1000, 1000)), Mode::Crops);
}
