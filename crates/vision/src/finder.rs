//! What looks at a photograph: MediaPipe's detectors, or the user's own networks in their place.
//!
//! A network of the user's gives boxes. MediaPipe's landmark networks then look into each, for outlines and control images.

use image::RgbImage;

use crate::detectors::{Detectors, THRESHOLD};
use crate::geometry::{Box2, Detection, Region};
use crate::landmarks::{FaceLandmarks, HandLandmarks, extent};
use crate::look::{Findings, Found, Look, look};

/// A network of the user's.
pub trait Finder: Sync {
    /// Regions of a photograph, or why there can be none.
    fn find(&self, photo: &RgbImage) -> Result<Vec<Found>, String>;
    /// What it is, to notice that another one was used: a file's SHA-256.
    fn identity(&self) -> String;
}

/// What finds faces and hands.
#[derive(Clone, Copy)]
pub struct Finders<'a> {
    /// MediaPipe's networks.
    pub detectors: &'a Detectors,
    /// The user's own network for faces, instead.
    pub faces: Option<&'a dyn Finder>,
    /// The user's own network for hands, instead.
    pub hands: Option<&'a dyn Finder>,
}

/// Share of their union that a landmark network's box and the user's network's box must have in common.
const SAME: f32 = 0.3;

impl Finders<'_> {
    /// Looks at a photograph; the inner networks' reason where one of the user's cannot be run.
    pub fn look(&self, photo: &RgbImage, how: Look) -> Result<Findings, String> {
        let mut found = look(photo, self.detectors, how);
        if let Some(finder) = self.faces {
            found.faces = finder.find(photo)?;
            found.faces.iter_mut().for_each(|face| face.points = self.face_points(photo, &face.bbox));
        }
        if let Some(finder) = self.hands {
            found.hands = finder.find(photo)?;
            found.hands.iter_mut().for_each(|hand| hand.points = self.hand_points(photo, &hand.bbox));
        }
        Ok(found)
    }

    /// Landmarks of a face in a box; none where the networks see no face there.
    fn face_points(&self, photo: &RgbImage, bbox: &Box2) -> Vec<[f32; 2]> {
        let eyes = self.detectors.face_short.detect_in(photo, &around(bbox, 2.0), THRESHOLD);
        let same = |face: &&Detection| face.bbox.iou(bbox) >= SAME;
        let best = eyes.iter().filter(same).max_by(|a, b| a.bbox.iou(bbox).total_cmp(&b.bbox.iou(bbox)));
        let region = best.map_or_else(|| around(bbox, 1.5), FaceLandmarks::region);
        let face = self.detectors.face_points.find(photo, &region);
        let agreed = face.score >= THRESHOLD && extent(&face.points).iou(bbox) >= SAME;
        if agreed { face.points } else { Vec::new() }
    }

    /// Landmarks of a hand in a box; none where the networks see no hand there.
    fn hand_points(&self, photo: &RgbImage, bbox: &Box2) -> Vec<[f32; 2]> {
        let palms = self.detectors.palm.detect_in(photo, &around(bbox, 2.5), THRESHOLD);
        palms
            .iter()
            .map(|palm| self.detectors.hand_points.find(photo, &HandLandmarks::region(palm)))
            .filter(|hand| hand.score >= THRESHOLD && extent(&hand.points).iou(bbox) >= SAME)
            .max_by(|a, b| a.score.total_cmp(&b.score))
            .map_or_else(Vec::new, |hand| hand.points)
    }
}

/// A square around a box, so many times as large as its longer side.
fn around(bbox: &Box2, times: f32) -> Region {
    Region::square(bbox.center(), times * bbox.width().max(bbox.height()))
}
