//! The side data of a WebP file: EXIF data and the colour profile, which stand in chunks of their own; and a
//! test of its data, which decoders lack.

use crate::error::PictureError;
use crate::limits;

/// Side data of a WebP file.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub exif: Option<Vec<u8>>,
    pub profile: Option<Vec<u8>>,
}

/// Reads the chunks of a WebP file, after checking that it is complete. Chunks beyond the bounds are left
/// out.
pub(crate) fn side(
    file: &mut (impl std::io::Read + std::io::Seek),
    length: u64,
) -> Result<Side, PictureError> {
    use std::io::SeekFrom;
    let mut head = [0; 12];
    file.rewind()?;
    if length < 12 {
        return Err(PictureError::truncated(&format!("{length} bytes")));
    }
    file.read_exact(&mut head)?;
    let [_, _, _, _, a, b, c, d, ..] = head;
    let needed = u64::from(u32::from_le_bytes([a, b, c, d])) + 8;
    if length < needed {
        return Err(PictureError::truncated(&format!("{length} of {needed} bytes")));
    }
    let mut side = Side::default();
    let mut at = 12;
    while at + 8 <= needed {
        let mut head = [0; 8];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        let [kind @ .., a, b, c, d] = head;
        let size = u32::from_le_bytes([a, b, c, d]);
        let fits = |most: usize| size as usize <= most && at + 8 + u64::from(size) <= length;
        let target = match &kind {
            b"EXIF" if fits(limits::EXIF) => Some(&mut side.exif),
            b"ICCP" if fits(limits::PROFILE) => Some(&mut side.profile),
            _ => None,
        };
        if let Some(target) = target {
            let mut data = vec![0; size as usize];
            file.read_exact(&mut data)?;
            *target = Some(data);
        }
        at += 8 + u64::from(size) + u64::from(size % 2);
    }
    Ok(side)
}

/// Bytes at the end of their data that decoders of whole files may leave unread: they stop within three.
const SLACK: u32 = 16;

/// A still picture's file with one part of its data shortened, for each part that has an end of its own.
///
/// Damage in the middle decodes: the bits after it are read as others, down to the last pixel, and nothing
/// tells that they are not those that were written. But they are then used up at another place than the end.
/// So of a whole picture none of these files can be decoded, and of a damaged one most often one can.
pub(crate) fn shortened(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let mut at = 12;
    while let Some((kind, size)) = bytes.get(at..at + 8).and_then(|head| head.split_at_checked(4)) {
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
        let next = at as u64 + 8 + u64::from(size) + u64::from(size % 2);
        let Some(content) = usize::try_from(next).ok().and_then(|next| bytes.get(at + 8..next)) else {
            break;
        };
        let is_data = match kind {
            b"VP8 " | b"VP8L" => true,
            // Without compression it has the length of its pixels.
            b"ALPH" => content.first().is_some_and(|head| head & 3 == 1),
            // Of an animation the first frame is read, in a chunk of its own.
            b"ANIM" => return Vec::new(),
            _ => false,
        };
        if let Some(shorter) = size.checked_sub(SLACK).filter(|_| is_data) {
            let mut file = bytes[..at + 4].to_vec();
            file.extend(shorter.to_le_bytes());
            file.extend(&content[..shorter as usize]);
            file.extend(std::iter::repeat_n(0, shorter as usize % 2));
            file.extend(&bytes[at + 8 + content.len()..]);
            let length = (file.len() as u32).wrapping_sub(8);
            file[4..8].copy_from_slice(&length.to_le_bytes());
            files.push(file);
        }
        at += 8 + content.len();
    }
    files
}
