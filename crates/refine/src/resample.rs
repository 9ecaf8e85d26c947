//! Pixels of a picture on a sheet, and back.

use fairhuman_pictures::resize::{Part, colours, weights};
use image::RgbImage;

use crate::{PixelRect, Rect, SoftMask, Tile};

/// A rectangle of a picture as a part of it: one that leaves the picture by a rounding is no part.
fn part(of: &Rect, size: (u32, u32)) -> Part {
    let inside = of.intersection(&Rect::whole(size));
    Part { left: inside.x0, top: inside.y0, width: inside.width(), height: inside.height() }
}

/// A rectangle of a picture in another size. What lies beside it takes part in the filter, so that a crop has
/// no edges of its own.
fn resized(picture: &RgbImage, of: &Rect, to: (u32, u32)) -> RgbImage {
    let size = picture.dimensions();
    let bytes = colours(picture.as_raw(), size, &part(of, size), to).ok();
    bytes.and_then(|bytes| RgbImage::from_raw(to.0, to.1, bytes)).unwrap_or_else(|| RgbImage::new(to.0, to.1))
}

impl Tile {
    /// Its part of the picture, in the size that it has on the sheet.
    pub fn cut(&self, picture: &RgbImage) -> RgbImage {
        resized(picture, &self.source, (self.target.width, self.target.height))
    }

    /// A soft mask in the tile's size on the sheet, `[height, width]` from 0 to 1. Linear between pixels:
    /// nothing overshoots, and 0 stays 0.
    pub fn cut_mask(&self, mask: &SoftMask) -> Vec<f32> {
        let PixelRect { x, y, width, height } = self.pixels();
        let inside = (0..height).flat_map(|row| (0..width).map(move |column| (x + column, y + row)));
        let values: Vec<f32> = inside.map(|(x, y)| mask.at(x, y)).collect();
        let to = (self.target.width, self.target.height);
        let source = Rect {
            x0: self.source.x0 - f64::from(x),
            y0: self.source.y0 - f64::from(y),
            x1: self.source.x1 - f64::from(x),
            y1: self.source.y1 - f64::from(y),
        };
        let cut = weights(&values, (width, height), &part(&source, (width, height)), to);
        let cut = cut.unwrap_or_else(|_| vec![0.0; to.0 as usize * to.1 as usize]);
        cut.iter().map(|weight| weight.clamp(0.0, 1.0)).collect()
    }

    /// A picture of the tile's size on the sheet, as the picture's own pixels [`Tile::pixels`].
    pub fn back(&self, made: &RgbImage) -> RgbImage {
        let PixelRect { x, y, width, height } = self.pixels();
        let (left, top) = (f64::from(x) - self.source.x0, f64::from(y) - self.source.y0);
        let source = Rect {
            x0: left * self.scale,
            y0: top * self.scale,
            x1: (left + f64::from(width)) * self.scale,
            y1: (top + f64::from(height)) * self.scale,
        };
        resized(made, &source, (width, height))
    }
}
