//! From the bytes of a file to 8-bit or 16-bit pixels, turned the right way up and in sRGB.

use std::borrow::Cow;
use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::error::{PictureError, Problem};
use crate::header::{Header, read_header};
use crate::{colour, jpeg, limits, png, webp};

/// The colour profile of a decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileUse {
    /// There is none, or it is sRGB's, or the pixels were wanted as stored.
    None,
    /// The pixels were converted to sRGB.
    Converted,
    /// It cannot be used, for this reason: the pixels are as stored.
    Unusable(String),
}

/// A decoded picture.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The pixels.
    pub image: DynamicImage,
    /// The use that was made of its colour profile.
    pub profile: ProfileUse,
}

/// Reads a picture from the bytes of a file, of at most `max_pixels`: upright, in sRGB.
///
/// # Errors
/// Not a picture that is read here, a damaged one, or one beyond the bounds.
pub fn read(bytes: &[u8], max_pixels: u64) -> Result<Decoded, PictureError> {
    let header = read_header(Cursor::new(bytes), bytes.len() as u64, max_pixels)?;
    let mut decoded = decode(bytes, &header, true)?;
    decoded.image.apply_orientation(header.orientation);
    Ok(decoded)
}

/// Decodes a picture, whose header was read just before, in the orientation that is stored. With `srgb` its
/// colours are converted by its profile; without, as for masks, values are those of the file.
///
/// # Errors
/// The data are damaged, or are not those of the header.
pub fn decode(bytes: &[u8], header: &Header, srgb: bool) -> Result<Decoded, PictureError> {
    let (width, height) = header.stored;
    let pixels = u64::from(width) * u64::from(height);
    if bytes.len() as u64 > header.most_bytes() {
        let text = format!("{} bytes are too many for {width} x {height} pixels", bytes.len());
        return Err(PictureError::new(Problem::TooLarge, text));
    }
    let (picture, profile) = match header.format {
        ImageFormat::Png => {
            let chunks = png::walk(&mut Cursor::new(bytes), bytes.len() as u64, true)?;
            (Cow::from(chunks.picture), chunks.profile.map(|chunk| png::profile(&chunk)))
        }
        ImageFormat::Jpeg => {
            let whole = jpeg::whole(bytes)?;
            (whole.picture.into(), whole.profile.map(Ok))
        }
        _ => {
            let side = webp::side(&mut Cursor::new(bytes), bytes.len() as u64)?;
            (bytes.into(), side.profile.map(Ok))
        }
    };
    let decoded = |picture: &[u8]| {
        let mut reader = ImageReader::with_format(Cursor::new(picture), header.format);
        let mut most = Limits::default();
        most.max_image_width = Some(width);
        most.max_image_height = Some(height);
        most.max_alloc = Some(limits::decoder(pixels));
        reader.limits(most);
        reader.decode()
    };
    let image = decoded(&picture).map_err(|e| PictureError::of_decoder(&e))?;
    if header.format == ImageFormat::WebP && webp::shortened(bytes).iter().any(|file| decoded(file).is_ok()) {
        return Err(PictureError::damaged(
            "its WebP data are damaged (its pixels end before they do): copy it again from its source",
        ));
    }
    let found = (image.width(), image.height());
    if found != header.stored {
        let (w, h) = found;
        return Err(PictureError::damaged(format!(
            "its header promises {width} x {height} pixels, but it holds {w} x {h}"
        )));
    }
    // Decoders make RGB of four inks by a rule of thumb; a profile of inks says nothing of that.
    let profile = profile.filter(|_| srgb && !header.traits.cmyk);
    let converted = profile.map(|profile| colour::to_srgb(&image, &profile?));
    Ok(match converted {
        None | Some(Ok(None)) => Decoded { image, profile: ProfileUse::None },
        Some(Ok(Some(image))) => Decoded { image, profile: ProfileUse::Converted },
        Some(Err(reason)) => Decoded { image, profile: ProfileUse::Unusable(reason) },
    })
}
