//! The texts that programs write into PNG files beside the pixels.

use crate::limits;
use crate::png::{split, unpacked};

/// The beginning of keywords of what is no text: EXIF data and profiles, which say how the pixels as they are
/// stored have to be shown.
const RAW: &[u8] = b"Raw profile type ";

/// Keywords and texts of a PNG file, in the file's order; none of what is no PNG file. Left out are damaged
/// ones, and what is beyond 16 MiB when it is unpacked.
pub fn png_texts(bytes: &[u8]) -> Vec<(String, String)> {
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap_or_default();
    let (mut found, mut room) = (Vec::new(), limits::TEXTS);
    while let Some((kind, content, after)) = chunk(rest) {
        if let Some((keyword, text)) = text(kind, content, room) {
            room -= text.len().min(room);
            found.push((keyword, text));
        }
        rest = after;
    }
    found
}

/// The first chunk: its kind, its content, and what follows it.
fn chunk(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let (content, rest) = rest.split_at_checked(u32::from_be_bytes(*size) as usize)?;
    // The checksum: a text with a wrong letter is better than none.
    Some((kind, content, rest.get(4..)?))
}

fn text(kind: &[u8; 4], content: &[u8], most: usize) -> Option<(String, String)> {
    let (keyword, rest) = split(content)?;
    if !(1..80).contains(&keyword.len()) || keyword.starts_with(RAW) {
        return None;
    }
    let text = unpacked(kind, rest, most)?;
    let latin = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let text = if kind == b"iTXt" { String::from_utf8(text).ok()? } else { latin(&text) };
    Some((latin(keyword), text))
}
