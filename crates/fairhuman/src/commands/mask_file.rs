//! Masks in picture files: white where something is done, black where nothing is, gray between.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, ensure};
use fairhuman_pictures::{MAX_PIXELS, decode, read_header};
use image::{DynamicImage, GrayImage};

/// Reads a mask, upright, as it is stored: its brightest channel, so that it may be painted in any strong
/// colour, or the alpha channel of a mask that is drawn in one colour on nothing.
pub fn read(file: &Path) -> anyhow::Result<GrayImage> {
    let named = || file.display().to_string();
    let bytes = fairhuman_files::read(file).with_context(named)?;
    let header = read_header(Cursor::new(&bytes), bytes.len() as u64, MAX_PIXELS).with_context(named)?;
    let mut picture = decode(&bytes, &header, false).with_context(named)?.image;
    picture.apply_orientation(header.orientation);
    let mask = gray(&picture);
    // A mask of 0 and 1, as arrays have it, would paint nothing that anybody sees.
    ensure!(
        mask.pixels().map(|pixel| pixel.0[0]).max() != Some(1),
        "{}: its brightest value is 1 of 255, which is black; a mask is white, 255, where something is done",
        named()
    );
    Ok(mask)
}

fn gray(picture: &DynamicImage) -> GrayImage {
    let rgba = picture.to_rgba8();
    let mut pixels = rgba.pixels();
    let first = pixels.clone().next().map(|p| p.0);
    let shaped = pixels.clone().any(|p| Some(p.0[3]) != first.map(|p| p[3]))
        && pixels.all(|p| p.0[3] == 0 || p.0[..3] == [0; 3] || p.0[..3] == [255; 3]);
    let value = |[r, g, b, a]: [u8; 4]| {
        let brightest = u32::from(r.max(g).max(b));
        // What is see-through lies on black.
        if shaped { a } else { ((brightest * u32::from(a) + 127) / 255) as u8 }
    };
    GrayImage::from_fn(rgba.width(), rgba.height(), |x, y| image::Luma([value(rgba.get_pixel(x, y).0)]))
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, Rgb, RgbImage, Rgba, RgbaImage};

    use super::gray;

    #[test]
    fn a_mask_may_be_gray_coloured_or_a_shape_on_nothing() {
        let gray_one = RgbImage::from_fn(3, 1, |x, _| Rgb([[0; 3], [100; 3], [255, 0, 0]][x as usize]));
        assert_eq!(gray(&DynamicImage::from(gray_one)).into_raw(), [0, 100, 255]);
        for colour in [0, 255] {
            let shape =
                RgbaImage::from_fn(3, 1, |x, _| Rgba([colour, colour, colour, [0, 90, 255][x as usize]]));
            assert_eq!(gray(&DynamicImage::from(shape)).into_raw(), [0, 90, 255]);
        }
    }
}
