//! No false alarms: what encoders write is whole.

use image::{DynamicImage, ExtendedColorType, ImageEncoder};
use proptest::prelude::*;

use crate::{data, jpeg, read};

#[test]
fn every_way_of_coding_a_jpeg_is_read() {
    for name in ["baseline", "half", "progressive", "restarts", "progressive-restarts", "gray-scale", "inks"]
    {
        let picture = read(&data(&format!("{name}.jpg"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((picture.image.width(), picture.image.height()), (101, 75), "{name}");
    }
}

#[test]
fn pixels_are_those_of_the_decoder_alone() {
    for name in ["baseline.jpg", "progressive.jpg", "inks.jpg", "turned-ztxt.png"] {
        let bytes = data(name);
        let mut plain = image::load_from_memory(&bytes).expect("a picture");
        if name.starts_with("turned") {
            plain = plain.rotate90();
        }
        assert_eq!(read(&bytes).expect("a picture").image, plain, "{name}");
    }
}

#[test]
fn every_way_of_coding_a_webp_is_read() {
    for name in ["lossy", "lossy-alpha", "lossless", "one-False", "one-True", "plain-False", "plain-True"] {
        read(&data(&format!("{name}.webp"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn bytes_between_segments_are_passed_over_as_libjpeg_does() {
    let bytes = data("baseline.jpg");
    let plain = read(&bytes).expect("a picture").image;
    let tables = bytes.windows(2).position(|w| w == [0xff, 0xdb]).expect("a table");
    let scan = bytes.windows(2).position(|w| w == [0xff, 0xda]).expect("a scan");
    for junk in [&b"\0\0\0"[..], b"left by an editor", b"\xff\0\xff\x07 \xff\xff"] {
        for at in [2, tables, scan, bytes.len() - 2] {
            let mut with = bytes.clone();
            with.splice(at..at, junk.iter().copied());
            let found = read(&with).unwrap_or_else(|e| panic!("{junk:?} at {at}: {e}"));
            assert_eq!(found.image, plain, "{junk:?} at {at}");
        }
    }
}

#[test]
fn what_fills_up_a_sector_after_the_last_block_is_no_damage() {
    let mut bytes = data("half.jpg");
    let end = bytes.len() - 2;
    bytes.splice(end..end, [0; 300]);
    read(&bytes).expect("a picture");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_image_crate_writes_is_whole(
        width in 1u32..120, height in 1u32..120, seed in 0u32..1000, quality in 1u8..=100, gray: bool
    ) {
        let bytes = jpeg(width, height, seed, quality);
        let picture = read(&bytes);
        prop_assert!(picture.is_ok(), "{:?}", picture.err());
        if gray {
            let gray = picture.map(|p| p.image.into_luma8()).unwrap_or_default();
            let mut bytes = Vec::new();
            let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
            encoder.write_image(&gray, width, height, ExtendedColorType::L8).expect("a JPEG file");
            let again = read(&bytes).map(|p| p.image);
            prop_assert!(matches!(again, Ok(DynamicImage::ImageLuma8(_))), "{again:?}");
        }
    }

    #[test]
    fn what_the_image_crate_writes_as_webp_is_whole(width in 1u32..120, height in 1u32..120, seed in 0u32..1000) {
        let picture = image::load_from_memory(&jpeg(width, height, seed, 80)).expect("a picture");
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::WebP).expect("a WebP file");
        let again = read(&bytes.into_inner()).map(|p| p.image.into_rgb8());
        prop_assert!(again.as_ref().is_ok_and(|again| *again == picture.to_rgb8()), "{:?}", again.err());
    }
}
