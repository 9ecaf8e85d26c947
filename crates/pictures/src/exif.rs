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
    Orientation::from_exif_chunk(data).or_else(|| long_orientation(data))
}

/// The orientation where it is stored as a LONG, against the standard; other programs turn such pictures.
fn long_orientation(data: &[u8]) -> Option<Orientation> {
    const TAG: u32 = 0x0112;
    const LONG: u32 = 4;
    let is_little = match data.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let number = |at: usize, count: usize| -> Option<u32> {
        let bytes = data.get(at..at.checked_add(count)?)?.iter();
        let join = |value: u32, &byte: &u8| value << 8 | u32::from(byte);
        Some(if is_little { bytes.rev().fold(0, join) } else { bytes.fold(0, join) })
    };
    let list = number(4, 4)? as usize;
    let entries = (0..number(list, 2)? as usize).map(|i| list + 2 + 12 * i);
    let mut found = entries.filter(|&at| number(at, 2) == Some(TAG) && number(at + 2, 2) == Some(LONG));
    Orientation::from_exif(u8::try_from(number(found.next()? + 8, 4)?).ok()?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orientation_is_found_as_a_short_and_as_a_long_in_both_byte_orders() {
        let little = |kind: u8| {
            [b"II*\0\x08\0\0\0\x01\0\x12\x01", &[kind, 0][..], b"\x01\0\0\0\x06\0\0\0\0\0\0\0"].concat()
        };
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0";
        for data in [little(3), little(4), big.to_vec()] {
            assert_eq!(orientation(&data), Some(Orientation::Rotate90), "{data:?}");
        }
        for end in 0..big.len() - 4 {
            assert_eq!(orientation(&big[..end]), None, "cut at {end}");
        }
    }
}
