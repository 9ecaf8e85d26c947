//! The judge of drawn people sees in them what was drawn.

use fairhuman_engine::Cpu;
use fairhuman_evaluate::PictureSet;
use fairhuman_evaluate::drawn::{Found, Networks, gesture};
use fairhuman_evaluate::statistics::wilson;
use fairhuman_people::{Options, draw_mix, write_dataset};

#[test]
fn people_drawn_from_near_are_seen_with_their_eyes_and_gestures() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        count: 48,
        size: 96,
        seed: 990,
        figures: 1,
        near: 100,
        style: fairhuman_people::Style::default(),
    };
    write_dataset(options, folder.path(), &mut |_| {}).expect("written");
    let pictures = PictureSet::open(folder.path(), None).expect("read").pictures;
    let values = |picture: &fairhuman_evaluate::Picture| {
        let (image, _) = picture.read().expect("a picture");
        image.as_raw().iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect()
    };
    let values: Vec<Vec<f32>> = pictures.iter().map(values).collect();
    let cpu = Cpu::new(1).expect("a backend");
    let found: Vec<Found> = Networks::new(&cpu).expect("weights").look(&cpu, &values);

    let mix = fairhuman_people::Mix { figures: 1, near: 100, style: fairhuman_people::Style::default() };
    let (mut eyes, mut gestures, mut asked) = (0, 0, 0);
    for (index, (picture, found)) in pictures.iter().zip(&found).enumerate() {
        let caption = picture.prompt.as_deref().expect("a caption");
        assert!(found.face, "{caption}");
        let drawn = draw_mix(96, 990, index as u64, mix);
        let visible = drawn.figures[0].body.iter();
        let visible = visible.filter(|p| p.name.ends_with("_eye") && p.point.visibility == 2).count();
        eyes += usize::from(found.eyes.len() == visible);
        if let Some(wanted) = gesture(caption) {
            asked += 1;
            gestures += usize::from(found.gesture == Some(wanted));
        }
    }
    // Eyes that laugh or wink are the ones that it misses.
    assert!(eyes >= 40, "{eyes} of 48 pictures with all of their eyes");
    assert!(asked > 24 && gestures * 10 >= asked * 8, "{gestures} gestures of {asked}");
}

#[test]
fn captions_name_gestures() {
    for (caption, expected) in [
        ("a portrait of a girl in a red shirt waves with an open hand, sad, in a park", Some("open")),
        ("a man in a blue jacket gives two thumbs up, smiling, at sunset", Some("thumb up")),
        ("a woman in a red dress makes a peace sign, calm, in a room", Some("peace")),
        ("a boy in a green shirt shows three fingers, angry, in the snow", Some("three")),
        ("a boy in a green shirt points up, angry, in the snow", Some("pointing")),
        ("a woman in a pink shirt holds a red flower, smiling, on a beach", None),
        ("a man in a gray sweater stands with hands on hips, calm, in a city", None),
    ] {
        assert_eq!(gesture(caption), expected, "{caption}");
    }
}

#[test]
fn the_interval_of_a_share_is_wilsons() {
    // By hand from the formula, at z = 1.96.
    let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-3 && (b - d).abs() < 1e-3;
    assert!(near(wilson(0, 10), (0.0, 0.2775)));
    assert!(near(wilson(5, 10), (0.2366, 0.7634)));
    assert!(near(wilson(10, 10), (0.7225, 1.0)));
}
