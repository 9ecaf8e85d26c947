//! The side data of a WebP file: EXIF data and the colour profile, which stand in chunks of their own.

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
