//! Points read back from a control image, by its colours alone: what a picture that was made with it should
//! show. Joints have a hue each, limbs theirs at 60 %, bones of hands one hue each between blue dots, and
//! faces are white dots.
//!
//! A point whose dot is covered is taken from the end of its limb. What cannot be told, such as the finger
//! tips of a hand whose dots touch each other, is left out.

mod bodies;
mod faces;
mod hands;
mod pixels;

use image::RgbImage;

use crate::geometry::Box2;
use pixels::Pixels;

/// Least share of a control image that is black.
const BACKGROUND: f32 = 0.4;

/// A hand in a control image.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnHand {
    /// The box around its points.
    pub bbox: Box2,
    /// Its 21 points, none where they cannot be told apart.
    pub points: Vec<Option<[f32; 2]>>,
}

/// The content of a control image.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drawn {
    /// OpenPose's 18 points of each body.
    pub bodies: Vec<[Option<[f32; 2]>; 18]>,
    /// Hands.
    pub hands: Vec<DrawnHand>,
    /// Boxes around the points of faces.
    pub faces: Vec<Box2>,
}

/// Reads a control image; none if it is no skeleton on black.
pub fn read(image: &RgbImage) -> Option<Drawn> {
    let pixels = Pixels::of(image);
    if pixels.black() < BACKGROUND {
        return None;
    }
    let (hands, taken) = hands::read(&pixels);
    let bodies = bodies::read(&pixels, &hands, &taken);
    // White alone may be the edges of anything.
    if bodies.is_empty() && hands.is_empty() {
        return None;
    }
    Some(Drawn { bodies, hands, faces: faces::read(&pixels) })
}
