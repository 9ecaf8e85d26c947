//! Which regions are refined, in which order, and which results are kept.

use fairhuman_refine::{Filter, Kind, Order, Rect, Region, Verdict, verdict};

const PICTURE: (u32, u32) = (1000, 800);

fn region(kind: Kind, x: f64, side: f64, score: f64) -> Region {
    Region {
        kind,
        bounds: Rect { x0: x, y0: 100.0, x1: x + side, y1: 100.0 + side },
        points: vec![],
        score: Some(score),
    }
}

fn lefts(regions: &[Region]) -> Vec<f64> {
    regions.iter().map(|region| region.bounds.x0).collect()
}

#[test]
fn uncertain_small_and_large_regions_and_other_kinds_are_left() {
    let all = [
        region(Kind::Hand, 700.0, 60.0, 0.9),
        region(Kind::Hand, 500.0, 60.0, 0.4),  // uncertain
        region(Kind::Hand, 300.0, 9.0, 0.9),   // 9 pixels
        region(Kind::Face, 100.0, 350.0, 0.9), // 15 % of the picture
        region(Kind::Face, 150.0, 300.0, 0.9), // 11 %
        region(Kind::Hand, 995.0, 60.0, 0.9),  // 5 x 60 pixels of it are in the picture
        region(Kind::Hand, 1200.0, 60.0, 0.9), // outside
    ];
    let filter = Filter::default();
    assert_eq!(lefts(&filter.select(&all, PICTURE)), [150.0, 700.0, 995.0]);
    let faces = Filter { kinds: vec![Kind::Face], max_share: Some(1.0), ..filter.clone() };
    assert_eq!(lefts(&faces.select(&all, PICTURE)), [100.0, 150.0]);
    let large = Filter { min_share: 0.1, ..filter };
    assert_eq!(lefts(&large.select(&all, PICTURE)), [150.0]);
}

#[test]
fn the_order_is_stable_whatever_the_detectors_order() {
    let mut all: Vec<Region> = [(500.0, 50.0, 0.7), (100.0, 40.0, 0.9), (300.0, 80.0, 0.6)]
        .map(|(x, side, s)| region(Kind::Hand, x, side, s))
        .into();
    for _ in 0..3 {
        all.rotate_left(1);
        let order = |order, max_regions| {
            lefts(&Filter { order, max_regions, ..Filter::default() }.select(&all, PICTURE))
        };
        assert_eq!(order(Order::Left, 0), [100.0, 300.0, 500.0]);
        assert_eq!(order(Order::Area, 0), [300.0, 500.0, 100.0]);
        assert_eq!(order(Order::Score, 0), [100.0, 500.0, 300.0]);
        // The largest are kept, in the order that was asked for.
        assert_eq!(order(Order::Left, 2), [300.0, 500.0]);
    }
}

#[test]
fn the_better_is_kept() {
    for (before, after, expected) in [
        (Some(0.9), None, Verdict::Lost),
        (Some(0.9), Some(0.75), Verdict::Worse),
        (Some(0.9), Some(0.82), Verdict::Kept),
        (Some(0.5), Some(0.9), Verdict::Kept),
        (None, Some(0.6), Verdict::Kept),
        (None, None, Verdict::Kept),
    ] {
        assert_eq!(verdict(before, after), expected, "{before:?} {after:?}");
    }
    assert!(Verdict::Unchecked.replaces() && !Verdict::Lost.replaces() && !Verdict::Worse.replaces());
}

#[test]
fn context_is_a_multiple_of_the_longer_side() {
    let hand = Region {
        bounds: Rect { x0: 100.0, y0: 100.0, x1: 140.0, y1: 120.0 },
        ..region(Kind::Hand, 0.0, 1.0, 1.0)
    };
    let context = hand.context(2.5);
    assert_eq!((context.width(), context.height()), (100.0, 80.0));
    assert_eq!(context.center(), hand.bounds.center());
}
