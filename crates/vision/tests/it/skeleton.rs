//! Control images read back: what is drawn is what is read, at every size and width of lines.

use fairhuman_vision::geometry::Box2;
use fairhuman_vision::skeleton::{Drawn, Skeleton, Style, read};
use image::{Rgb, RgbImage, imageops};

/// OpenPose's points of a person who waves, in a square of side 1.
const BODY: [[f32; 2]; 18] = [
    [0.50, 0.16],
    [0.50, 0.28],
    [0.40, 0.29],
    [0.33, 0.42],
    [0.30, 0.56],
    [0.60, 0.29],
    [0.70, 0.36],
    [0.74, 0.20],
    [0.44, 0.56],
    [0.43, 0.74],
    [0.42, 0.92],
    [0.56, 0.56],
    [0.58, 0.74],
    [0.59, 0.92],
    [0.47, 0.13],
    [0.53, 0.13],
    [0.43, 0.15],
    [0.57, 0.15],
];
/// Direction of each finger in degrees, how much it bends at each joint, and the lengths of its bones.
const FINGERS: [(f32, f32, [f32; 4]); 5] = [
    (-55.0, 9.0, [0.20, 0.18, 0.14, 0.12]),
    (-14.0, 3.0, [0.46, 0.22, 0.13, 0.11]),
    (0.0, -2.0, [0.45, 0.25, 0.15, 0.12]),
    (13.0, 4.0, [0.43, 0.22, 0.14, 0.11]),
    (26.0, 6.0, [0.42, 0.17, 0.11, 0.10]),
];

fn apart(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The points of a hand about `size` long, turned by `turn` degrees.
fn hand([x, y]: [f32; 2], size: f32, turn: f32) -> Vec<[f32; 2]> {
    let mut points = vec![[x, y]];
    for (angle, bend, bones) in FINGERS {
        let mut at = [x, y];
        for (i, bone) in bones.into_iter().enumerate() {
            let towards = (angle + turn + bend * i as f32 - 90.0).to_radians();
            at = [at[0] + size * bone * towards.cos(), at[1] + size * bone * towards.sin()];
            points.push(at);
        }
    }
    points
}

/// 70 points on the oval of a face and inside it.
fn face([x, y]: [f32; 2], size: f32) -> Vec<[f32; 2]> {
    let jaw = (0..17).map(|i| (std::f32::consts::PI * i as f32 / 16.0).sin_cos());
    let jaw = jaw.map(|(sin, cos)| [x + 0.4 * size * cos, y + 0.5 * size * sin]);
    let inside = (0..53).map(|i| {
        let (row, column) = (i / 9, i % 9);
        [x + size * (column as f32 - 4.0) * 0.07, y + size * (row as f32 * 0.13 - 0.4)]
    });
    jaw.chain(inside).collect()
}

fn person(origin: [f32; 2], side: f32) -> [Option<[f32; 2]>; 18] {
    BODY.map(|[x, y]| Some([origin[0] + side * x, origin[1] + side * y]))
}

fn drawn(skeleton: &Skeleton, side: u32, style: Style) -> Drawn {
    read(&skeleton.draw(side, side, style)).expect("a skeleton")
}

/// Largest distance of the points of a body from those that were drawn; all must be there.
fn error(found: &[Option<[f32; 2]>], wanted: &[Option<[f32; 2]>]) -> f32 {
    let both = found.iter().zip(wanted);
    both.map(|(found, wanted)| apart(found.expect("a point"), wanted.expect("a point"))).fold(0.0, f32::max)
}

const STYLES: [Style; 3] = [Style::Classic, Style::Thin, Style::Xinsir];

#[test]
fn bodies_are_read_at_every_size_and_width() {
    for style in STYLES {
        for side in [96u32, 192, 256, 512, 768, 1024, 1536] {
            if side < 192 && style != Style::Classic {
                continue;
            }
            let s = side as f32;
            let wanted = [person([-0.22 * s, 0.05 * s], 0.85 * s), person([0.38 * s, 0.02 * s], 0.8 * s)];
            let skeleton = Skeleton { bodies: wanted.to_vec(), ..Skeleton::default() };
            let mut found = drawn(&skeleton, side, style);
            found.bodies.sort_by(|a, b| a[1].unwrap_or_default()[0].total_cmp(&b[1].unwrap_or_default()[0]));
            assert_eq!(found.bodies.len(), 2, "{style:?} at {side}");
            assert!(found.hands.is_empty() && found.faces.is_empty(), "{style:?} at {side}");
            for (found, wanted) in found.bodies.iter().zip(&wanted) {
                // Eyes and ears of a face of eight pixels cover each other.
                let count = if side < 192 { 14 } else { 18 };
                let error = error(&found[..count], &wanted[..count]);
                assert!(error < 1.0 + 0.002 * s, "{style:?} at {side}: {error} pixels");
            }
        }
    }
}

#[test]
fn what_is_hidden_or_outside_is_not_there() {
    let mut wanted = person([0.0, 0.0], 512.0);
    for number in [4, 9, 10, 13, 17] {
        wanted[number] = None;
    }
    let skeleton = Skeleton { bodies: vec![wanted], ..Skeleton::default() };
    let found = drawn(&skeleton, 512, Style::Classic);
    assert_eq!(found.bodies.len(), 1);
    for (number, (found, wanted)) in found.bodies[0].iter().zip(&wanted).enumerate() {
        assert_eq!(found.is_some(), wanted.is_some(), "point {number}");
    }
}

#[test]
fn hands_are_read_and_their_wrists_below_them() {
    let (mut wrists_found, mut cases) = (0, 0);
    for style in STYLES {
        for (side, size) in
            [(512, 60.0), (512, 110.0), (768, 90.0), (1024, 150.0), (1024, 260.0), (512, 30.0)]
        {
            for turn in [0.0, 75.0, 160.0, 250.0] {
                let s = side as f32;
                let body = person([-0.05 * s, 0.0], s);
                let wrists = [body[4].expect("a wrist"), [0.7 * s, 0.62 * s]];
                let hands: Vec<_> = wrists.iter().map(|wrist| hand(*wrist, size, turn)).collect();
                let skeleton = Skeleton { bodies: vec![body], hands: hands.clone(), faces: Vec::new() };
                let found = drawn(&skeleton, side, style);
                let case = format!("{style:?} at {side}, hands of {size} turned by {turn}");
                assert_eq!(found.hands.len(), 2, "{case}");
                for wanted in &hands {
                    let bbox = Box2::around(wanted).expect("a box");
                    let overlap = |bbox: Box2| bbox.iou(&Box2::around(wanted).expect("a box"));
                    let hand = found.hands.iter().max_by(|a, b| overlap(a.bbox).total_cmp(&overlap(b.bbox)));
                    let hand = hand.expect("a hand");
                    assert!(overlap(hand.bbox) > 0.8, "{case}: {bbox:?} {:?}", hand.bbox);
                    let both = hand.points.iter().zip(wanted);
                    let errors: Vec<f32> =
                        both.filter_map(|(found, wanted)| Some(apart((*found)?, *wanted))).collect();
                    let worst = errors.iter().copied().fold(0.0, f32::max);
                    let least = if size < 60.0 { 0 } else { 9 };
                    assert!(errors.len() >= least, "{case}: {} points", errors.len());
                    assert!(worst < 1.5 + 0.05 * size, "{case}: {worst} pixels of {errors:?}");
                }
                let people: Vec<_> = found.bodies.iter().filter(|body| body[1].is_some()).collect();
                assert_eq!(people.len(), 1, "{case}");
                for (number, (found, wanted)) in people[0].iter().zip(&body).enumerate() {
                    let gap = found.map(|found| apart(found, wanted.expect("a point")));
                    let most = 4.0 + 0.003 * s;
                    assert!(gap.is_none_or(|gap| gap < most), "{case}: point {number} is {gap:?} off");
                }
                wrists_found += usize::from(people[0][4].is_some());
                cases += 1;
            }
        }
    }
    // Those of hands that point along the forearm and cover it cannot always be told.
    assert!(wrists_found * 100 >= 80 * cases, "{wrists_found} wrists of {cases}");
}

#[test]
fn faces_are_clusters_of_dots() {
    for (side, style, size) in [
        (512, Style::Classic, 60.0),
        (512, Style::Classic, 200.0),
        (1024, Style::Xinsir, 90.0),
        (256, Style::Classic, 40.0),
    ] {
        let s = side as f32;
        let body = person([-0.1 * s, 0.0], s);
        let wanted = [face([0.5 * s, 0.24 * s], size), face([0.78 * s, 0.7 * s], size)];
        let skeleton = Skeleton { bodies: vec![body], hands: Vec::new(), faces: wanted.to_vec() };
        let found = drawn(&skeleton, side, style);
        assert_eq!(found.faces.len(), 2, "{style:?} at {side}");
        for face in &wanted {
            let bbox = Box2::around(face).expect("a box");
            let best = found.faces.iter().map(|found| found.iou(&bbox)).fold(0.0, f32::max);
            assert!(best > 0.9, "{style:?} at {side}: {best} of {bbox:?} in {:?}", found.faces);
        }
        // The eyes below the dots.
        for number in [14, 15] {
            let wanted = body[number].expect("an eye");
            let found = found.bodies[0][number].expect("an eye");
            assert!(apart(found, wanted) < 2.0 + 0.006 * s, "{style:?} at {side}: {found:?} for {wanted:?}");
        }
    }
}

#[test]
fn other_control_images_are_no_skeletons() {
    let black = RgbImage::new(64, 64);
    assert_eq!(read(&black), None);
    let mut canny = black.clone();
    (0..64).for_each(|x| canny.put_pixel(x, x / 2 + 9, Rgb([255; 3])));
    assert_eq!(read(&canny), None);
    let ramp = RgbImage::from_fn(64, 64, |x, y| Rgb([(4 * x) as u8, (4 * y) as u8, 128]));
    assert_eq!(read(&ramp), None);
    // Coloured noise on black; pictures of one pixel, and of none.
    let noise = RgbImage::from_fn(256, 256, |x, y| {
        let word = (x * 7919 + y * 104_729 + x * y * 31).wrapping_mul(2_654_435_761);
        if word >> 30 == 0 { Rgb([(word >> 8) as u8, (word >> 16) as u8, word as u8]) } else { Rgb([0; 3]) }
    });
    let _ = read(&noise);
    let _ = read(&RgbImage::from_pixel(1, 1, Rgb([255, 0, 0])));
    assert_eq!(read(&RgbImage::new(0, 0)), None);
    let blue = RgbImage::from_fn(300, 300, |x, _| if x < 150 { Rgb([0, 0, 255]) } else { Rgb([0; 3]) });
    let _ = read(&blue);
}

#[test]
fn resized_skeletons_are_read() {
    let wanted = person([0.0, 0.0], 1024.0);
    let skeleton = Skeleton { bodies: vec![wanted], ..Skeleton::default() };
    let large = skeleton.draw(1024, 1024, Style::Classic);
    let small = imageops::resize(&large, 384, 384, imageops::FilterType::Triangle);
    let found = read(&small).expect("a skeleton");
    let wanted = wanted.map(|point| point.map(|point| point.map(|v| v * 384.0 / 1024.0)));
    assert!(error(&found.bodies[0], &wanted) < 2.0);
}
