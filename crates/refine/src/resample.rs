//! Pixels of a picture on a sheet, and back.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::{PixelRect, Rect, SoftMask, Tile};

/// A rectangle of a picture in another size. What lies beside it takes part in the filter, so that a crop has
/// no edges of its own. Nothing is changed where every pixel falls on a pixel.
fn resized<P: PixelTrait + Default>(
    pixels: &[P],
    from: (u32, u32),
    part: &Rect,
    to: (u32, u32),
    filter: FilterType,
) -> Vec<P> {
    let empty = || vec![P::default(); to.0 as usize * to.1 as usize];
    let Ok(source) = TypedImageRef::new(from.0, from.1, pixels) else { return empty() };
    let mut target = TypedImage::new(to.0, to.1);
    // A part that leaves the picture by a rounding is no part of it.
    let part = part.intersection(&Rect::whole(from));
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(
        part.x0,
        part.y0,
        part.width(),
        part.height(),
    );
    match Resizer::new().resize_typed(&source, &mut target, &options) {
        Ok(()) => target.pixels().to_vec(),
        Err(_) => empty(),
    }
}

/// The same of a picture's colours.
fn resized_picture(picture: &RgbImage, part: &Rect, to: (u32, u32)) -> RgbImage {
    let pixels: Vec<U8x3> = picture.pixels().map(|pixel| U8x3::new(pixel.0)).collect();
    let pixels = resized(&pixels, picture.dimensions(), part, to, FilterType::Lanczos3);
    let bytes = pixels.iter().flat_map(|pixel| pixel.0).collect();
    RgbImage::from_raw(to.0, to.1, bytes).unwrap_or_else(|| RgbImage::new(to.0, to.1))
}

impl Tile {
    /// Its part of the picture, in the size that it has on the sheet.
    pub fn cut(&self, picture: &RgbImage) -> RgbImage {
        resized_picture(picture, &self.source, (self.target.width, self.target.height))
    }

    /// A soft mask in the tile's size on the sheet, `[height, width]` from 0 to 1. Linear between pixels:
    /// nothing overshoots, and 0 stays 0.
    pub fn cut_mask(&self, mask: &SoftMask) -> Vec<f32> {
        let PixelRect { x, y, width, height } = self.pixels();
        let inside = (0..height).flat_map(|row| (0..width).map(move |column| (x + column, y + row)));
        let weights: Vec<F32> = inside.map(|(x, y)| F32::new(mask.at(x, y))).collect();
        let to = (self.target.width, self.target.height);
        let part = Rect {
            x0: self.source.x0 - f64::from(x),
            y0: self.source.y0 - f64::from(y),
            x1: self.source.x1 - f64::from(x),
            y1: self.source.y1 - f64::from(y),
        };
        let weights = resized(&weights, (width, height), &part, to, FilterType::Bilinear);
        weights.iter().map(|weight| weight.0.clamp(0.0, 1.0)).collect()
    }

    /// A picture of the tile's size on the sheet, as the picture's own pixels [`Tile::pixels`].
    pub fn back(&self, made: &RgbImage) -> RgbImage {
        let PixelRect { x, y, width, height } = self.pixels();
        let (left, top) = (f64::from(x) - self.source.x0, f64::from(y) - self.source.y0);
        let part = Rect {
            x0: left * self.scale,
            y0: top * self.scale,
            x1: (left + f64::from(width)) * self.scale,
            y1: (top + f64::from(height)) * self.scale,
        };
        resized_picture(made, &part, (width, height))
    }
}
