//! Reads photographs, upright and in sRGB, with the bounds and checks of training.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use crate::{MAX_PIXELS, read_header};
use image::imageops::{FilterType, crop_imm, resize};
use image::{DynamicImage, ImageBuffer, Pixel, Rgb, RgbImage, Rgba};

/// A photograph that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct PhotoError {
    /// The file.
    pub file: PathBuf,
    /// The problem.
    pub reason: String,
}

/// Reads a photograph, rotated by its EXIF orientation and composited on white.
pub fn read(file: &Path) -> Result<RgbImage, PhotoError> {
    if file.metadata().is_ok_and(|data| !data.is_file()) {
        return Err(PhotoError { file: file.into(), reason: "is no file".into() });
    }
    let bytes =
        fairhuman_files::read(file).map_err(|e| PhotoError { file: file.into(), reason: e.to_string() })?;
    decode(file, &bytes)
}

/// As [`read`], from bytes; `file` is the name in messages.
pub fn decode(file: &Path, bytes: &[u8]) -> Result<RgbImage, PhotoError> {
    let fail = |reason: String| PhotoError { file: file.into(), reason };
    // Photographs have no recipe whose `max_pixels` could be raised, so the bound has a message of its own.
    let header = read_header(Cursor::new(bytes), bytes.len() as u64, u64::MAX).map_err(|e| fail(e.text))?;
    let (width, height) = header.stored;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(fail(format!("{width} x {height} pixels are more than {MAX_PIXELS}: please reduce it")));
    }
    let mut picture = crate::decode(bytes, &header, true).map_err(|e| fail(e.text))?.image;
    picture.apply_orientation(header.orientation);
    Ok(on_white(picture))
}

/// The middle of a photograph, or of its mask, in the shape of a size (width, height), in that size.
pub fn fitted<P: Pixel<Subpixel = u8> + 'static>(
    photo: &ImageBuffer<P, Vec<u8>>,
    (width, height): (u32, u32),
) -> ImageBuffer<P, Vec<u8>> {
    // The largest part of the new shape.
    let (w, h) = (u64::from(photo.width()), u64::from(photo.height()));
    let wide = w * u64::from(height) > h * u64::from(width);
    let part = match wide {
        true => ((h * u64::from(width) / u64::from(height)).max(1) as u32, photo.height()),
        false => (photo.width(), (w * u64::from(height) / u64::from(width)).max(1) as u32),
    };
    let (left, top) = ((photo.width() - part.0) / 2, (photo.height() - part.1) / 2);
    let part = crop_imm(photo, left, top, part.0, part.1).to_image();
    // As it is where nothing is to be changed: control images have lines of one pixel.
    match part.dimensions() == (width, height) {
        true => part,
        false => resize(&part, width, height, FilterType::Lanczos3),
    }
}

/// Converts to RGB, transparent parts on white, as datasets are read.
fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let Rgba([r, g, b, alpha]) = *picture.get_pixel(x, y);
        let mixed = |v: u8| {
            let (v, alpha) = (u32::from(v), u32::from(alpha));
            ((v * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        Rgb([r, g, b].map(mixed))
    })
}

#[cfg(test)]
mod tests {
    use super::decode;
    use std::path::Path;

    #[test]
    fn a_jpeg_file_is_refused_wherever_it_is_cut() {
        let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 3, y as u8 * 5, 7]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("a JPEG file");
        let mut bytes = bytes.into_inner();
        for cut in (0..bytes.len()).step_by(37) {
            let error = decode(Path::new("a.jpg"), &bytes[..cut]).expect_err("refused");
            assert_eq!(error.file, Path::new("a.jpg"));
        }
        bytes.extend(b"what phones append");
        assert_eq!(decode(Path::new("a.jpg"), &bytes).expect("read").dimensions(), (64, 48));
    }

    #[test]
    fn a_picture_of_too_many_pixels_is_refused_by_its_header() {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let small = image::RgbImage::new(8, 8);
        small.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("a JPEG file");
        let mut bytes = bytes.into_inner();
        let frame = bytes.windows(2).position(|mark| mark == [0xff, 0xc0]).expect("the frame's header");
        // Height and width, 20,000 each.
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        let error = decode(Path::new("a.jpg"), &bytes).expect_err("refused");
        assert!(error.reason.contains("20000 x 20000 pixels are more than 100000000"), "{error}");
    }

    #[test]
    fn what_is_see_through_is_white_and_other_formats_say_so() {
        let mut picture = image::RgbaImage::from_pixel(2, 1, image::Rgba([10, 20, 30, 255]));
        picture.put_pixel(1, 0, image::Rgba([10, 20, 30, 0]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG file");
        let read = decode(Path::new("a.png"), bytes.get_ref()).expect("read");
        assert_eq!(read.into_raw(), [10, 20, 30, 255, 255, 255]);
        let error = decode(Path::new("a.heic"), b"\0\0\0\x18ftypheic").expect_err("refused");
        assert!(error.reason.contains("convert"), "{error}");
    }
}
