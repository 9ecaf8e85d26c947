//! Files as programs write them are read, damaged ones are told, and nothing is unpacked beyond the bounds.

mod colours;
mod damage;
mod limits;
mod names;
mod orientation;
mod whole;

use std::path::PathBuf;

use fairhuman_pictures::{Decoded, MAX_PIXELS, PictureError};

/// The bytes of a file that `reference/pictures_golden.py` wrote.
pub fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Reads a picture with the usual bounds.
pub fn read(bytes: &[u8]) -> Result<Decoded, PictureError> {
    fairhuman_pictures::read(bytes, MAX_PIXELS)
}

/// A picture with edges, slopes and noise, as a JPEG file of the image crate's encoder.
pub fn jpeg(width: u32, height: u32, seed: u32, quality: u8) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let edge = if (x / 23 + y / 17 + seed).is_multiple_of(2) { 90 } else { 20 };
        let noise = |shift: u32| (state >> shift) % 24;
        image::Rgb(
            [edge + x % 97 + noise(0), edge + y % 89 + noise(8), 60 + noise(16)].map(|v| v.min(255) as u8),
        )
    });
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    picture.write_with_encoder(encoder).expect("a JPEG file");
    bytes
}
