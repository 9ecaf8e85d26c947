//! Small pictures with their regions drawn in, for the contact sheet.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType};

use crate::geometry::Draw;
use crate::resample::cover;

/// The colours of regions, in the order of the recipe.
pub const COLOURS: [[u8; 3]; 6] =
    [[255, 64, 96], [0, 190, 255], [255, 190, 0], [90, 230, 80], [190, 110, 255], [255, 130, 30]];

/// Opacity of a region's colour inside its outline.
const TINT: f32 = 0.35;

/// A JPEG of at most `side` pixels at its longer side; `None` if it cannot be made.
///
/// `masks` are `[H, W]` bytes of the picture's size, one entry per region.
pub(crate) fn thumbnail(picture: &DynamicImage, masks: &[Option<Vec<u8>>], side: u32) -> Option<Vec<u8>> {
    let original = (picture.width(), picture.height());
    let mut small = picture.thumbnail(side, side).into_rgb8();
    let (width, height) = small.dimensions();
    let (resized, flip) = (original, false);
    let draw =
        Draw { original, resized, crop_left: 0, crop_top: 0, width: original.0, height: original.1, flip };
    for (mask, colour) in masks.iter().zip(COLOURS.iter().cycle()) {
        let Some(mask) = mask else { continue };
        let cells = cover(mask, &draw, width as usize, height as usize);
        let inside = |x: u32, y: u32| cells[(y * width + x) as usize] >= 0.25;
        for (x, y, pixel) in small.enumerate_pixels_mut() {
            if !inside(x, y) {
                continue;
            }
            let outside = |dx: i32, dy: i32| match (x.checked_add_signed(dx), y.checked_add_signed(dy)) {
                (Some(x), Some(y)) if x < width && y < height => !inside(x, y),
                _ => true,
            };
            let outline = outside(1, 0) || outside(-1, 0) || outside(0, 1) || outside(0, -1);
            let tint = if outline { 1.0 } else { TINT };
            for (value, colour) in pixel.0.iter_mut().zip(colour) {
                *value = (f32::from(*value) * (1.0 - tint) + f32::from(*colour) * tint) as u8;
            }
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 80);
    encoder.encode(&small, width, height, ExtendedColorType::Rgb8).ok()?;
    Some(bytes)
}
