//! The header of a picture's file, read without decoding: format, size, orientation, and a check for its end.
//!
//! The first pass over a dataset reads only this. Decoders are lenient about files that were cut off (a JPEG
//! is filled up with gray), so completeness is checked here, from each format's own framing.

use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom};

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ImageDecoder, ImageError, ImageFormat};

use crate::content::Content;
use crate::diagnostic::{Diagnostic, Kind};
use crate::paths::unreadable;

/// Format, size and orientation of a picture's file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Header {
    pub format: ImageFormat,
    /// Width and height of the pixels as stored.
    pub stored: (u32, u32),
    pub orientation: Orientation,
    /// True if it has an alpha channel.
    pub alpha: bool,
    /// Properties that are lost when it becomes 8-bit RGB.
    pub traits: Traits,
}

/// Properties of a file that training does not see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// More than one frame.
    pub animated: bool,
    /// More than 8 bits per channel.
    pub deep: bool,
    /// Four inks instead of three colours.
    pub cmyk: bool,
}

impl Header {
    /// Width and height as shown.
    pub fn shown(&self) -> (u32, u32) {
        oriented(self.stored, self.orientation)
    }
}

/// A size after `orientation` is applied.
pub(crate) fn oriented(size: (u32, u32), orientation: Orientation) -> (u32, u32) {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    match orientation {
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => (size.1, size.0),
        _ => size,
    }
}

/// Reads a picture's header and checks that the file is complete and not too large to decode.
pub(crate) fn read(content: &Content, max_pixels: u64) -> Result<Header, Diagnostic> {
    let (mut file, length) = content.open()?;
    let mut magic = Vec::new();
    let io = |e: std::io::Error| unreadable(&e);
    file.by_ref().take(crate::foreign::ENOUGH as u64).read_to_end(&mut magic).map_err(io)?;
    if magic.is_empty() {
        return Err(truncated("it is empty"));
    }
    let mut traits = Traits::default();
    let (format, stored, orientation, alpha) = match image::guess_format(&magic) {
        Ok(ImageFormat::Png) => {
            let (exif, animated) = png_walk(&mut file, length)?;
            file.rewind().map_err(io)?;
            let decoder = PngDecoder::new(file).map_err(|e| undecodable(&e))?;
            let orientation = exif.and_then(|exif| Orientation::from_exif_chunk(&exif));
            // The bits per channel stand in the first chunk, after its head and the size.
            traits = Traits { animated, deep: magic.get(24) == Some(&16), cmyk: false };
            (ImageFormat::Png, decoder.dimensions(), orientation, decoder.color_type().has_alpha())
        }
        Ok(ImageFormat::Jpeg) => {
            let (headers, cmyk) = jpeg_walk(&mut file, length)?;
            let mut decoder = JpegDecoder::new(Cursor::new(headers)).map_err(|e| undecodable(&e))?;
            let orientation = decoder.orientation().ok();
            traits.cmyk = cmyk;
            (ImageFormat::Jpeg, decoder.dimensions(), orientation, false)
        }
        Ok(ImageFormat::WebP) => {
            let declared = magic.get(4..8).and_then(|b| b.try_into().ok());
            let needed = declared.map_or(u64::MAX, |b| u64::from(u32::from_le_bytes(b)) + 8);
            if length < needed {
                return Err(truncated(&format!("{length} of {needed} bytes")));
            }
            file.rewind().map_err(io)?;
            let mut decoder = WebPDecoder::new(file).map_err(|e| undecodable(&e))?;
            let orientation = decoder.orientation().ok();
            traits.animated = decoder.has_animation();
            (ImageFormat::WebP, decoder.dimensions(), orientation, decoder.color_type().has_alpha())
        }
        Ok(other) => {
            return Err(Diagnostic::new(
                Kind::NotAPicture,
                format!("its content is {other:?}, which is not read here: convert it to PNG, JPEG or WebP"),
            ));
        }
        Err(_) => {
            crate::foreign::refuse(&magic)?;
            return Err(Diagnostic::new(
                Kind::NotAPicture,
                "its content is no picture that is known here: PNG, JPEG and WebP are read",
            ));
        }
    };
    let (width, height) = stored;
    if width == 0 || height == 0 {
        return Err(Diagnostic::new(Kind::NotAPicture, format!("it is {width} x {height} pixels large")));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(Diagnostic::new(
            Kind::TooLarge,
            format!(
                "{width} x {height} pixels are more than the {max_pixels} allowed: make it smaller or raise `max_pixels`"
            ),
        ));
    }
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok(Header { format, stored, orientation, alpha, traits })
}

/// A file that ends too early.
pub(crate) fn truncated(found: &str) -> Diagnostic {
    let text = format!("the file is cut off ({found}): copy it again from its source");
    Diagnostic::new(Kind::Truncated, text)
}

/// A decoder's error as a diagnostic.
pub(crate) fn undecodable(error: &ImageError) -> Diagnostic {
    match error {
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => truncated("its data end early"),
        ImageError::IoError(e) if e.kind() != ErrorKind::InvalidData => unreadable(e),
        _ => Diagnostic::new(Kind::NotAPicture, format!("cannot be decoded: {error}")),
    }
}

/// Steps over a PNG's chunks to its end and returns its EXIF chunk, which may stand before or after the
/// pixels, and whether it is animated.
fn png_walk(file: &mut (impl Read + Seek), length: u64) -> Result<(Option<Vec<u8>>, bool), Diagnostic> {
    let io = |e: std::io::Error| unreadable(&e);
    let (mut exif, mut animated) = (None, false);
    let mut at = 8; // the signature
    loop {
        let cut = || truncated(&format!("{length} bytes without an end mark"));
        if at + 12 > length {
            return Err(cut());
        }
        file.seek(SeekFrom::Start(at)).map_err(io)?;
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(io)?;
        let [a, b, c, d, kind @ ..] = head;
        let size = u32::from_be_bytes([a, b, c, d]);
        let end = at + 12 + u64::from(size);
        if end > length {
            return Err(cut());
        }
        match &kind {
            b"IEND" => return Ok((exif, animated)),
            b"acTL" => animated = true,
            b"eXIf" if size <= 1 << 20 => {
                let mut chunk = vec![0; size as usize];
                file.read_exact(&mut chunk).map_err(io)?;
                exif = Some(chunk);
            }
            _ => {}
        }
        at = end;
    }
}

/// Returns a JPEG's segments up to its first scan, and whether it has four inks, after checking that its end
/// mark exists.
fn jpeg_walk(file: &mut (impl Read + Seek), length: u64) -> Result<(Vec<u8>, bool), Diagnostic> {
    let io = |e: std::io::Error| match e.kind() {
        ErrorKind::UnexpectedEof => truncated("it ends before its pixels"),
        _ => unreadable(&e),
    };
    let (mut headers, mut cmyk) = (vec![0; 2], false);
    file.rewind().map_err(io)?;
    file.read_exact(&mut headers).map_err(io)?;
    loop {
        let mut marker = [0; 2];
        file.read_exact(&mut marker).map_err(io)?;
        while marker == [0xff, 0xff] {
            file.read_exact(&mut marker[1..]).map_err(io)?; // fill bytes
        }
        headers.extend(marker);
        match marker {
            [0xff, 0x01 | 0xd0..=0xd8] => continue, // no content
            [0xff, 0xd9] => return Err(truncated("it ends before its pixels")),
            [0xff, _] => {}
            _ => return Err(Diagnostic::new(Kind::NotAPicture, "its JPEG segments are damaged")),
        }
        let mut size = [0; 2];
        file.read_exact(&mut size).map_err(io)?;
        headers.extend(size);
        let content = u64::from(u16::from_be_bytes(size).saturating_sub(2));
        let start = headers.len();
        if file.by_ref().take(content).read_to_end(&mut headers).map_err(io)? as u64 != content {
            return Err(truncated("it ends before its pixels"));
        }
        // A frame header holds precision, height, width, and the number of components.
        if matches!(marker[1], 0xc0..=0xcf) && !matches!(marker[1], 0xc4 | 0xc8 | 0xcc) {
            cmyk = headers.get(start + 5) == Some(&4);
        }
        if marker[1] == 0xda {
            break;
        }
    }
    // Compressed data never contain the end mark, so finding it after the first scan means that they ended.
    // It is nearly always within the last bytes; cameras that append a film or a second picture need the
    // rest.
    let start = file.stream_position().map_err(io)?;
    for from in [start.max(length.saturating_sub(1 << 16)), start] {
        file.seek(SeekFrom::Start(from)).map_err(io)?;
        if contains_end_mark(file).map_err(io)? {
            return Ok((headers, cmyk));
        }
    }
    Err(truncated(&format!("{length} bytes without an end mark")))
}

fn contains_end_mark(file: &mut impl Read) -> std::io::Result<bool> {
    let mut buffer = vec![0; 1 << 16];
    let mut last = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(false);
        }
        for &byte in &buffer[..n] {
            if last == 0xff && byte == 0xd9 {
                return Ok(true);
            }
            last = byte;
        }
    }
}
