//! People are counted once, in pictures as small as icons and as wide as panoramas; what is skipped is named.

use crate::common::{file, networks};
use fairhuman_vision::annotate::{Options, annotate, load_detectors};
use fairhuman_vision::detect::{DetectOptions, detect};
use fairhuman_vision::pipeline::Pipeline;
use image::imageops::{FilterType, overlay, resize};
use image::{Rgb, RgbImage};

fn astronaut() -> RgbImage {
    image::open(file("photos/astronaut.png")).expect("the photograph").to_rgb8()
}

#[test]
fn one_person_is_one_at_every_size() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    for side in [48, 64, 96, 320] {
        let photo = resize(&astronaut(), side, side, FilterType::Lanczos3);
        let found = detect(&photo, &detectors, DetectOptions { zoom: true });
        assert_eq!(found.count_people(), 1, "at {side} pixels: {} bodies", found.people.len());
    }
}

#[test]
fn a_face_in_a_panorama_is_found_wherever_it_is() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let own = detect(&astronaut(), &detectors, DetectOptions { zoom: true }).faces.remove(0).bbox.center();
    let slope = |x: u32, y: u32| Rgb([(x / 40) as u8, 90 + (y / 8) as u8, 120]);
    let mut wide = RgbImage::from_fn(6000, 512, slope);
    let places = [700i64, 4444];
    places.iter().for_each(|x| overlay(&mut wide, &astronaut(), *x, 150));
    let found = detect(&wide, &detectors, DetectOptions { zoom: true });
    for place in places {
        let near = |[x, y]: [f32; 2]| (x - own[0] - place as f32).hypot(y - own[1] - 150.0) < 25.0;
        assert!(
            found.faces.iter().any(|face| near(face.bbox.center())),
            "at {place}: {:?}",
            found.faces.len()
        );
    }
}

#[test]
fn pictures_under_other_names_and_damaged_ones_are_skipped_with_a_reason() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let folder = tempfile::tempdir().expect("a folder");
    let photos = folder.path().join("photos");
    std::fs::create_dir_all(&photos).expect("a folder");
    let put = |name: &str, bytes: &[u8]| std::fs::write(photos.join(name), bytes).expect("a file");
    let mut jpeg = std::io::Cursor::new(Vec::new());
    astronaut().write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("a JPEG file");
    let jpeg = jpeg.into_inner();
    let mut cut = jpeg[..jpeg.len() / 3].to_vec();
    cut.extend([0xff, 0xd9]);
    put("a.jfif", &jpeg);
    put("b.jpe", &jpeg);
    put("cut.jpg", &cut);
    put("heic.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    put("IMG_1", &jpeg);
    put("notes", b"no picture");
    put("old.psd", b"8BPS");
    let pipeline = Pipeline { detectors: &detectors, faces: None, hands: None };
    let options = Options { zoom: false, ..Options::default() };
    let out = folder.path().join("out");
    let summary =
        annotate(&photos, &out, &options, &pipeline, &Default::default(), &|_| {}).expect("a dataset");
    assert_eq!(summary.photographs, 2);
    let told: Vec<(&str, &str)> = summary.problems.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for ((name, reason), (expected, part)) in told.into_iter().zip([
        ("IMG_1", "has no extension, but its content is Jpeg"),
        ("cut.jpg", "its JPEG data are damaged from about"),
        ("heic.jpg", "its content is Heic, which is not read here"),
        ("old.psd", "its content is Photoshop's, which is not read here"),
    ]) {
        assert!(name == expected && reason.contains(part), "{name}: {reason}");
    }
}
