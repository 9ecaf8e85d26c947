//! Cutting faces and hands out of pictures, by one rule for all sets.

use fairhuman_vision::geometry::Box2;
use image::RgbImage;
use serde_json::{Value, json};

use crate::detection::Detection;
use crate::error::EvaluateError;
use crate::judge::Judge;
use crate::picture_set::Picture;
use crate::truth::Truth;

/// The parts that are cut out, by name.
pub const REGIONS: [&str; 2] = ["face", "hand"];

/// The rule by which faces and hands are cut out of pictures.
pub struct Regions<'d> {
    /// Finds them where it is not known where they should be.
    pub detection: Detection<'d>,
    /// True to cut where they should be, if that is known of a picture.
    pub by_truth: bool,
}

/// Where the regions of one picture are.
pub(super) enum Place {
    /// Known before it is looked at.
    Known(Truth),
    /// To be found.
    Found,
}

impl Regions<'_> {
    /// Where the regions of a picture are to be cut.
    ///
    /// # Errors
    /// Key points that cannot be read.
    pub(super) fn place(&self, picture: &Picture) -> Result<Place, EvaluateError> {
        Ok(match (&picture.truth, &picture.keypoints) {
            (Some(truth), _) if self.by_truth => Place::Known(truth.clone()),
            // Of the reference's own pictures.
            (None, Some(file)) if self.by_truth => Place::Known(Truth::read(file)?),
            _ => Place::Found,
        })
    }

    /// Everything but the picture that decides what is cut out of it.
    pub(super) fn about(&self, place: &Place) -> Value {
        match place {
            Place::Known(truth) => json!(truth),
            Place::Found => json!(self.detection.identity()),
        }
    }

    /// The squares of a picture, with the names of what is in them.
    pub(super) fn cut(&self, place: Place, image: &RgbImage) -> Vec<(&'static str, RgbImage)> {
        let truth = match place {
            Place::Known(truth) => truth,
            Place::Found => self.detection.truth(image),
        };
        let kinds = REGIONS.into_iter().zip([truth.faces, truth.hands]);
        let squares =
            kinds.flat_map(|(kind, parts)| parts.into_iter().flatten().map(move |part| (kind, part.bbox)));
        squares.map(|(kind, bbox)| (kind, square(image, &bbox))).collect()
    }
}

/// Factor of the longer side of a box that its square has.
const AROUND: f32 = 1.5;
/// Side of a square at least, in pixels.
const LEAST: f32 = 32.0;

/// The square around a box, of one and a half times its longer side and at least 32 pixels; beyond its edges
/// the picture is mirrored.
pub fn square(image: &RgbImage, bbox: &Box2) -> RgbImage {
    let side = (AROUND * bbox.width().max(bbox.height())).max(LEAST).round();
    let [x, y] = bbox.center();
    let (left, top) = ((x - side / 2.0).round() as i64, (y - side / 2.0).round() as i64);
    // Without repeating the edge, as numpy's "reflect".
    let mirrored = |at: i64, length: u32| -> u32 {
        let length = i64::from(length);
        if length == 1 {
            return 0;
        }
        let at = at.rem_euclid(2 * (length - 1));
        (if at < length { at } else { 2 * (length - 1) - at }) as u32
    };
    let (width, height) = image.dimensions();
    RgbImage::from_fn(side as u32, side as u32, |x, y| {
        *image.get_pixel(mirrored(left + i64::from(x), width), mirrored(top + i64::from(y), height))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_reaches_beyond_the_picture_as_in_a_mirror() {
        let image = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let found = square(&image, &Box2 { x0: -4.0, y0: 0.0, x1: 8.0, y1: 10.0 });
        assert_eq!(found.dimensions(), (32, 32));
        // The box's middle is (2, 5): the square begins at (-14, -11).
        assert_eq!(found.get_pixel(0, 0).0, [14, 11, 0]);
        assert_eq!(found.get_pixel(14, 11).0, [0, 0, 0]);
        assert_eq!(found.get_pixel(31, 31).0, [17, 20, 0]);
        let wide = square(&image, &Box2 { x0: 0.0, y0: 0.0, x1: 40.0, y1: 30.0 });
        assert_eq!(wide.dimensions(), (60, 60));
    }
}
