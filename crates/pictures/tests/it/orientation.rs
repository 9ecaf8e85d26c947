//! EXIF orientation is found wherever programs write it.

use std::io::Cursor;

use fairhuman_pictures::{MAX_PIXELS, Orientation, read_header};
use image::ImageEncoder;
use image::codecs::png::PngEncoder;

use crate::{data, read};

fn orientation(bytes: &[u8]) -> Orientation {
    read_header(Cursor::new(bytes), bytes.len() as u64, MAX_PIXELS).expect("a picture").orientation
}

#[test]
fn pillows_and_imagemagicks_files_are_turned() {
    for name in ["turned.jpg", "turned.webp", "turned-ztxt.png", "turned-text.png", "turned-itxt.png"] {
        let bytes = data(name);
        assert_eq!(orientation(&bytes), Orientation::Rotate90, "{name}");
        let picture = read(&bytes).expect("a picture").image;
        assert_eq!((picture.width(), picture.height()), (16, 24), "{name}");
    }
}

#[test]
fn pngs_own_chunk_is_read_with_and_without_the_prefix() {
    let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
    for prefix in [&b""[..], b"Exif\0\0", b"Exif\0\0Exif\0\0"] {
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_exif_metadata([prefix, tiff].concat()).expect("EXIF data");
        encoder.write_image(&[0; 12], 4, 3, image::ExtendedColorType::L8).expect("a PNG file");
        assert_eq!(orientation(&bytes), Orientation::Rotate180, "{prefix:?}");
    }
}
