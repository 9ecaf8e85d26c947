//! The orientation in EXIF data, wherever programs put them.
//!
//! The standard has bare TIFF data in PNG's `eXIf` and WebP's `EXIF` chunk; many writers put JPEG's prefix
//! `Exif\0\0` before them. Before PNG had a chunk of its own, ImageMagick wrote the data as hexadecimal
//! digits into a text chunk called `Raw profile type exif`, and still does.

use image::metadata::Orientation;

/// The prefix of EXIF data in JPEG's segments.
pub(crate) const PREFIX: &[u8] = b"Exif\0\0";

/// The keywords of PNG's text chunks that hold EXIF data.
pub(crate) const RAW_PROFILES: [&[u8]; 2] = [b"Raw profile type exif", b"Raw profile type APP1"];

/// The orientation in EXIF data, with or without the prefix.
pub(crate) fn orientation(mut data: &[u8]) -> Option<Orientation> {
    while let Some(rest) = data.strip_prefix(PREFIX) {
        data = rest;
    }
    Orientation::from_exif_chunk(data)
}

/// The bytes of a text chunk `Raw profile type ...`: a line with the kind, one with the number of bytes, then
/// lines of hexadecimal digits.
pub(crate) fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.trim_start();
    let mut lines = text.lines();
    lines.next()?;
    let count: usize = lines.next()?.trim().parse().ok()?;
    let digits = lines.flat_map(str::chars).filter(|c| !c.is_ascii_whitespace());
    let nibbles: Option<Vec<u8>> = digits.map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let bytes: Vec<u8> = nibbles?.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect();
    (bytes.len() == count).then_some(bytes)
}
