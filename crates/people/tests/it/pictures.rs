//! Theorems about every drawn picture.

use fairhuman_people::{Keypoint, Mix, Picture, Style, VOCABULARY, draw, draw_mix};
use image::GrayImage;

const SEED: u64 = 20_250_702;

fn some(count: u64, size: u32) -> impl Iterator<Item = Picture> {
    (0..count).map(move |index| draw(size, SEED, index))
}

fn near(mask: &GrayImage, p: &Keypoint) -> bool {
    let (x, y) = (p.x as i64, p.y as i64);
    (-1..=1).any(|dy| {
        (-1..=1).any(|dx| {
            let (x, y) = (x + dx, y + dy);
            let inside = x >= 0 && y >= 0 && x < mask.width() as i64 && y < mask.height() as i64;
            inside && mask.get_pixel(x as u32, y as u32).0[0] == 255
        })
    })
}

fn area(mask: &GrayImage) -> usize {
    mask.pixels().filter(|p| p.0[0] > 0).count()
}

#[test]
fn the_same_seed_and_index_give_the_same_bytes() {
    for index in [0, 1, 99, u64::MAX] {
        assert_eq!(draw(96, SEED, index), draw(96, SEED, index));
        assert_ne!(draw(96, SEED, index).image, draw(96, SEED + 1, index).image);
        assert_ne!(draw(96, SEED, index).image, draw(96, SEED, index ^ 1).image);
    }
}

/// The same people in the same places with the same words, and hardly a pixel alike.
#[test]
fn another_style_draws_the_same_people_otherwise() {
    let (mut faces, mut hands, mut alike, mut pixels) = ([0, 0], [0, 0], 0, 0);
    for index in 0..60 {
        let [soft, ink] = Style::ALL.map(|style| draw_mix(96, SEED, index, Mix { style, ..Mix::default() }));
        assert_eq!(soft, draw(96, SEED, index));
        assert_eq!(soft.caption, ink.caption);
        assert_eq!(soft.figures.len(), ink.figures.len());
        for (a, b) in soft.figures.iter().zip(&ink.figures) {
            let places = |figure: &fairhuman_people::Figure| {
                figure.face.iter().map(|p| (p.name.clone(), p.point.x, p.point.y)).collect::<Vec<_>>()
            };
            assert_eq!(places(a), places(b));
        }
        for (i, picture) in [&soft, &ink].into_iter().enumerate() {
            faces[i] += area(&picture.face_mask);
            hands[i] += area(&picture.hand_mask);
        }
        let pairs = soft.image.pixels().zip(ink.image.pixels());
        pixels += soft.image.pixels().len();
        alike += pairs.filter(|(a, b)| (0..3).all(|c| a.0[c].abs_diff(b.0[c]) < 4)).count();
    }
    let ratio = |of: [usize; 2]| of[1] as f64 / of[0] as f64;
    assert!((0.9..1.1).contains(&ratio(faces)) && (1.0..1.4).contains(&ratio(hands)), "{faces:?} {hands:?}");
    assert!(alike * 5 < pixels, "{alike} of {pixels}");
}

#[test]
fn captions_are_short_and_use_the_vocabulary() {
    let mut used = std::collections::BTreeSet::new();
    for picture in some(800, 16) {
        let words: Vec<&str> = picture.caption.split([' ', ',']).filter(|w| !w.is_empty()).collect();
        let tokens = words.len() + picture.caption.matches(',').count();
        assert!(words.len() < 60 && tokens <= 68, "{} words: {}", words.len(), picture.caption);
        for word in words {
            let known = VOCABULARY.iter().find(|w| **w == word);
            used.insert(
                known.unwrap_or_else(|| panic!("\"{word}\" is not in the vocabulary: {}", picture.caption)),
            );
        }
        assert!((1..=3).contains(&picture.figures.len()));
    }
    let unused: Vec<_> = VOCABULARY.iter().filter(|w| !used.contains(w)).collect();
    assert!(unused.is_empty(), "words that no caption has: {unused:?}");
    assert!(VOCABULARY.is_sorted());
}

#[test]
fn visible_key_points_lie_in_the_mask_of_their_region() {
    let (mut right, mut all) = (0, 0);
    for picture in some(80, 256) {
        for figure in &picture.figures {
            for point in figure.face.iter().filter(|p| p.point.visibility == 2) {
                assert!(near(&picture.face_mask, &point.point), "{} of {}", point.name, picture.caption);
            }
            for hand in [&figure.left_hand, &figure.right_hand] {
                assert_eq!(hand.points.len(), 21);
                for point in hand.points.iter().filter(|p| p.visibility == 2) {
                    all += 1;
                    right += usize::from(near(&picture.hand_mask, point));
                }
            }
        }
    }
    assert!(all > 2000);
    assert_eq!(right, all);
}

#[test]
fn hidden_key_points_are_not_where_the_mask_is_theirs() {
    // Hands behind a back: every point hidden, and alone in the picture there is no hand mask at all.
    let hidden = |picture: &Picture| {
        let figure = &picture.figures[0];
        let mut points = figure.left_hand.points.iter().chain(&figure.right_hand.points);
        picture.figures.len() == 1 && points.all(|p| p.visibility == 1)
    };
    let pictures: Vec<Picture> = some(600, 16)
        .filter(|p| p.figures.len() == 1 && p.caption.contains("hands behind the back"))
        .collect();
    assert!(pictures.len() >= 2);
    for picture in &pictures {
        assert!(hidden(picture), "{}", picture.caption);
        assert_eq!(area(&picture.hand_mask), 0, "{}", picture.caption);
        assert!(area(&picture.face_mask) > 0);
    }
}

#[test]
fn masks_are_binary_and_never_share_a_pixel() {
    for picture in some(60, 128) {
        for (face, hand) in picture.face_mask.pixels().zip(picture.hand_mask.pixels()) {
            assert!([0, 255].contains(&face.0[0]) && [0, 255].contains(&hand.0[0]));
            assert!(face.0[0] == 0 || hand.0[0] == 0);
        }
    }
}

#[test]
fn a_picture_is_the_same_at_every_size() {
    for index in 0..6 {
        let large = draw(1024, SEED, index);
        for size in [64, 96, 256, 500] {
            let small = draw(size, SEED, index);
            assert_eq!(small.image.dimensions(), (size, size));
            assert_eq!(small.caption, large.caption);
            let filter = image::imageops::FilterType::Triangle;
            let reduced = image::imageops::resize(&large.image, size, size, filter);
            let apart: u64 =
                small.image.as_raw().iter().zip(reduced.as_raw()).map(|(a, b)| a.abs_diff(*b) as u64).sum();
            let mean = apart as f64 / small.image.as_raw().len() as f64;
            assert!(mean < 6.0, "picture {index} at {size}: {mean}");
            for (mask, big) in [(&small.face_mask, &large.face_mask), (&small.hand_mask, &large.hand_mask)] {
                let share = |m: &GrayImage| area(m) as f64 / (m.width() as f64).powi(2);
                assert!((share(mask) - share(big)).abs() < 0.003 + 0.1 * share(big));
            }
            for (a, b) in small.figures.iter().zip(&large.figures) {
                for (a, b) in a.body.iter().zip(&b.body) {
                    assert_eq!(a.point.visibility, b.point.visibility);
                    assert!((a.point.x / size as f32 - b.point.x / 1024.0).abs() < 1e-3);
                }
            }
        }
    }
}

#[test]
fn sizes_out_of_range_are_brought_into_it() {
    assert_eq!(draw(0, 1, 1).image.width(), fairhuman_people::MIN_SIZE);
}

#[test]
fn thumbs_are_on_the_right_side_of_open_hands() {
    // An open hand with the fingers up shows its palm: the thumb of a right hand is on the right of the
    // picture.
    let mut seen = 0;
    for picture in some(250, 32) {
        for figure in &picture.figures {
            for (hand, sign) in [(&figure.right_hand, 1.0), (&figure.left_hand, -1.0)] {
                let p = &hand.points;
                if hand.gesture == "open" && (p[12].y - p[0].y) < -2.0 * (p[12].x - p[0].x).abs() {
                    seen += 1;
                    assert!((p[4].x - p[20].x) * sign > 0.0, "{}", picture.caption);
                }
            }
        }
    }
    assert!(seen > 50);
}
