//! Photographs from the disk, upright and in RGB.

use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

/// Why a photograph could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct PhotoError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Largest side of a photograph, in pixels.
const LARGEST: u32 = 30_000;

/// Reads a photograph, turned as its EXIF orientation says, without its transparency.
pub fn read(file: &Path) -> Result<RgbImage, PhotoError> {
    let bytes = std::fs::read(file).map_err(|e| PhotoError { file: file.into(), reason: e.to_string() })?;
    decode(file, &bytes)
}

/// As [`read`], from the file's bytes.
pub fn decode(file: &Path, bytes: &[u8]) -> Result<RgbImage, PhotoError> {
    let fail = |reason: String| PhotoError { file: file.into(), reason };
    let mut reader = ImageReader::new(BufReader::new(Cursor::new(bytes)))
        .with_guessed_format()
        .map_err(|e| fail(e.to_string()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST);
    limits.max_image_height = Some(LARGEST);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| fail(e.to_string()))?;
    // A damaged orientation is no reason to lose the picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| fail(e.to_string()))?;
    picture.apply_orientation(orientation);
    if picture.width() == 0 || picture.height() == 0 {
        return Err(fail("the picture is empty".into()));
    }
    Ok(picture.to_rgb8())
}
