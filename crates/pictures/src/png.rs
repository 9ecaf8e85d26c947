//! The chunks of a PNG file. What decoders get is the picture alone: text and profiles, which may unpack to
//! gigabytes, are left out and read here, within bounds.

use std::io::{Read, Seek, SeekFrom};

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use crate::error::PictureError;
use crate::{exif, limits};

/// Content of a PNG file, by its chunks.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// The file with the chunks of the picture alone; without its pixels, unless they were wanted.
    pub picture: Vec<u8>,
    /// EXIF data, which may stand before or after the pixels.
    pub exif: Option<Vec<u8>>,
    /// The content of the colour profile's chunk.
    pub profile: Option<Vec<u8>>,
    /// True if it has more than one frame.
    pub animated: bool,
}

/// Largest chunk before the pixels that a decoder gets: a palette has 768 bytes.
const SMALL: u32 = 1 << 16;

/// Steps over a PNG's chunks to its end.
pub(crate) fn walk(file: &mut (impl Read + Seek), length: u64, pixels: bool) -> Result<Chunks, PictureError> {
    let mut found = Chunks::default();
    file.rewind()?;
    let mut signature = [0; 8];
    file.read_exact(&mut signature)?;
    found.picture.extend(signature);
    let mut at = 8;
    loop {
        let cut = || PictureError::truncated(&format!("{length} bytes without an end mark"));
        if at + 12 > length {
            return Err(cut());
        }
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        let size = u32::from_be_bytes([a, b, c, d]);
        let end = at + 12 + u64::from(size);
        if end > length {
            let (kind, left) = (kind.escape_ascii(), length - at - 12);
            let claim = format!("its {kind} chunk at byte {at} claims {size} bytes, and {left} are left");
            return Err(PictureError::truncated(&claim));
        }
        let mut content = || -> Result<Vec<u8>, PictureError> {
            let mut content = vec![0; size as usize];
            file.read_exact(&mut content)?;
            Ok(content)
        };
        let fits = |most: usize| size as usize <= most;
        match &kind {
            b"acTL" => found.animated = true,
            b"eXIf" if fits(limits::EXIF) => found.exif = Some(content()?),
            b"iCCP" if fits(limits::PROFILE) => found.profile = Some(content()?),
            b"zTXt" | b"tEXt" | b"iTXt" if fits(limits::EXIF) && found.exif.is_none() => {
                found.exif = raw_exif(&kind, &content()?);
            }
            _ => {}
        }
        let is_picture = kind[0].is_ascii_uppercase() || &kind == b"tRNS";
        let is_data = &kind == b"IDAT";
        if is_picture && (pixels || !is_data && size <= SMALL) {
            file.seek(SeekFrom::Start(at))?;
            let whole = file.by_ref().take(end - at).read_to_end(&mut found.picture)?;
            if whole as u64 != end - at {
                return Err(cut());
            }
        }
        if &kind == b"IEND" {
            break;
        }
        at = end;
    }
    if !pixels {
        // Decoders read up to the first pixels; an empty chunk of them says that all is known.
        let end = found.picture.len().saturating_sub(12);
        found.picture.truncate(end);
        found.picture.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    }
    Ok(found)
}

/// The EXIF data in the content of a chunk of text whose keyword says that it holds them.
fn raw_exif(kind: &[u8; 4], content: &[u8]) -> Option<Vec<u8>> {
    let (keyword, rest) = split(content)?;
    if !exif::RAW_PROFILES.contains(&keyword) {
        return None;
    }
    exif::raw_profile(&unpacked(kind, rest, 4 * limits::EXIF)?)
}

/// The text in what follows the keyword in a chunk of text; none where it is damaged or longer than `most`
/// bytes.
pub(crate) fn unpacked(kind: &[u8; 4], rest: &[u8], most: usize) -> Option<Vec<u8>> {
    let inflate = |data| decompress_to_vec_zlib_with_limit(data, most).ok();
    let plain = |text: &[u8]| (text.len() <= most).then(|| text.to_vec());
    match (kind, rest) {
        (b"tEXt", text) => plain(text),
        (b"zTXt", [0, data @ ..]) => inflate(data),
        (b"iTXt", [compressed, 0, rest @ ..]) => {
            // A language and a translated keyword come before the text.
            let (_, rest) = split(rest)?;
            let (_, text) = split(rest)?;
            if *compressed == 1 { inflate(text) } else { plain(text) }
        }
        _ => None,
    }
}

/// The colour profile in the content of its chunk, or the reason why there is none.
pub(crate) fn profile(chunk: &[u8]) -> Result<Vec<u8>, String> {
    let Some((_, [0, data @ ..])) = split(chunk) else { return Err("its chunk is damaged".into()) };
    decompress_to_vec_zlib_with_limit(data, limits::PROFILE).map_err(|e| match e.status {
        miniz_oxide::inflate::TINFLStatus::HasMoreOutput => {
            format!("it unpacks to more than {} MiB", limits::PROFILE >> 20)
        }
        _ => "it cannot be unpacked".to_owned(),
    })
}

/// The bytes before and after the first zero.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|b| *b == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}
