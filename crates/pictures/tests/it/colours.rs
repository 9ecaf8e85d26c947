//! Colour profiles: the pixels in sRGB are those of Pillow's ImageCms, within a few levels.

use fairhuman_pictures::{MAX_PIXELS, ProfileUse, decode, read_header};
use std::io::Cursor;

use crate::{data, read};

/// The greatest difference of two pictures' channels.
fn apart(a: &image::DynamicImage, b: &image::DynamicImage) -> u8 {
    let (a, b) = (a.to_rgb8(), b.to_rgb8());
    assert_eq!(a.dimensions(), b.dimensions());
    a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn colours_are_those_of_image_cms() {
    for (name, expected, stored_apart) in [
        ("adobe.png", "adobe-converted.png", 30),
        ("adobe.webp", "adobe-converted.png", 30),
        ("p3.png", "p3-converted.png", 20),
        ("gray.png", "gray-converted.png", 15),
    ] {
        let found = read(&data(name)).expect("a picture");
        assert_eq!(found.profile, ProfileUse::Converted, "{name}");
        let expected = image::load_from_memory(&data(expected)).expect("a picture");
        let off = apart(&found.image, &expected);
        assert!(off <= 3, "{name} is off by {off}");
        let plain = image::load_from_memory(&data(name)).expect("a picture");
        let before = apart(&plain, &expected);
        assert!(before > stored_apart, "{name} shows nothing: {before}");
    }
    assert_eq!(read(&data("adobe.jpg")).expect("a picture").profile, ProfileUse::Converted);
}

#[test]
fn srgb_by_any_name_and_masks_stay_as_they_are_stored() {
    let found = read(&data("srgb.png")).expect("a picture");
    assert_eq!(found.profile, ProfileUse::None);
    assert_eq!(found.image, image::load_from_memory(&data("srgb.png")).expect("a picture"));

    let bytes = data("gray.png");
    let header = read_header(Cursor::new(&bytes), bytes.len() as u64, MAX_PIXELS).expect("a picture");
    let mask = decode(&bytes, &header, false).expect("a picture");
    assert_eq!(mask.image, image::load_from_memory(&bytes).expect("a picture"));
}

#[test]
fn a_profile_that_cannot_be_used_is_named_and_does_no_harm() {
    let mut bytes = data("adobe.jpg");
    let at = bytes.windows(4).position(|w| w == b"acsp").expect("the profile");
    bytes[at..at + 4].copy_from_slice(b"none");
    let found = read(&bytes).expect("a picture");
    assert!(matches!(found.profile, ProfileUse::Unusable(_)), "{:?}", found.profile);
}
