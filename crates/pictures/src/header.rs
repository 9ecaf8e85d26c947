//! The header of a picture's file, read without decoding: format, size, orientation, and a check for its end.
//!
//! Decoders are lenient about files that were cut off (a JPEG is filled up with gray), so completeness is
//! checked here, from each format's own framing. The data themselves are checked when they are decoded.

use std::io::{BufRead, Cursor, Read, Seek};

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, Limits};

use crate::error::{PictureError, Problem};
use crate::names::{Content, HEAD, content};
use crate::{exif, jpeg, limits, png, webp};

/// Format, size and orientation of a picture's file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    /// The format, by its content.
    pub format: ImageFormat,
    /// Width and height of the pixels as stored.
    pub stored: (u32, u32),
    /// The orientation by EXIF.
    pub orientation: Orientation,
    /// True if it has an alpha channel.
    pub alpha: bool,
    /// Properties that are lost when it becomes 8-bit RGB.
    pub traits: Traits,
}

/// Properties of a file that training does not see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traits {
    /// More than one frame.
    pub animated: bool,
    /// More than 8 bits per channel.
    pub deep: bool,
    /// Four inks instead of three colours.
    pub cmyk: bool,
}

impl Header {
    /// Most bytes that a file of such a picture may have.
    pub fn most_bytes(&self) -> u64 {
        limits::file(u64::from(self.stored.0) * u64::from(self.stored.1))
    }

    /// Width and height as shown.
    pub fn shown(&self) -> (u32, u32) {
        oriented(self.stored, self.orientation)
    }
}

/// A size after `orientation` is applied.
pub fn oriented(size: (u32, u32), orientation: Orientation) -> (u32, u32) {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    match orientation {
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => (size.1, size.0),
        _ => size,
    }
}

/// Reads a picture's header and checks that the file of `length` bytes is complete and of at most
/// `max_pixels`.
///
/// # Errors
/// Not a picture that is read here, cut off, too large, or unreadable.
pub fn read_header(
    mut file: impl BufRead + Seek,
    length: u64,
    max_pixels: u64,
) -> Result<Header, PictureError> {
    let mut head = Vec::new();
    file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    if head.is_empty() {
        return Err(PictureError::truncated("it is empty"));
    }
    let undecodable = |e| PictureError::of_decoder(&e);
    let mut traits = Traits::default();
    let (format, stored, data, alpha) = match content(&head) {
        Some(Content::Read(format @ ImageFormat::Png)) => {
            let chunks = png::walk(&mut file, length, false)?;
            let mut most = Limits::default();
            most.max_alloc = Some(limits::decoder(0));
            let decoder = PngDecoder::with_limits(Cursor::new(chunks.picture), most).map_err(undecodable)?;
            // The bits per channel stand in the first chunk, after its head and the size.
            traits = Traits { animated: chunks.animated, deep: head.get(24) == Some(&16), cmyk: false };
            (format, decoder.dimensions(), chunks.exif, decoder.color_type().has_alpha())
        }
        Some(Content::Read(format @ ImageFormat::Jpeg)) => {
            let front = jpeg::front(&mut file, length)?;
            traits.cmyk = front.is_cmyk();
            let decoder = JpegDecoder::new(Cursor::new(front.picture)).map_err(undecodable)?;
            (format, decoder.dimensions(), front.exif, false)
        }
        Some(Content::Read(format)) => {
            let side = webp::side(&mut file, length)?;
            file.rewind()?;
            let decoder = WebPDecoder::new(file).map_err(undecodable)?;
            traits.animated = decoder.has_animation();
            (format, decoder.dimensions(), side.exif, decoder.color_type().has_alpha())
        }
        Some(Content::Other(name)) => {
            return Err(PictureError::damaged(format!(
                "its content is {name}, which is not read here: convert it to PNG, JPEG or WebP"
            )));
        }
        None => {
            return Err(PictureError::damaged(
                "its content is no picture that is known here: PNG, JPEG and WebP are read",
            ));
        }
    };
    let (width, height) = stored;
    if width == 0 || height == 0 {
        return Err(PictureError::damaged(format!("it is {width} x {height} pixels large")));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        let text = format!(
            "{width} x {height} pixels are more than the {max_pixels} allowed: make it smaller or raise `max_pixels`"
        );
        return Err(PictureError::new(Problem::TooLarge, text));
    }
    let orientation = data.and_then(|data| exif::orientation(&data)).unwrap_or(Orientation::NoTransforms);
    Ok(Header { format, stored, orientation, alpha, traits })
}
