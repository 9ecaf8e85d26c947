//! The detection pipeline: MediaPipe's detectors, or networks of the user's own in place of them.
//!
//! A network of the user's gives boxes; MediaPipe's landmark networks then run on each, for outlines and
//! control images.

use image::RgbImage;

use crate::detect::{DetectOptions, Detections, Instance, detect};
use crate::detectors::{Detectors, THRESHOLD};
use crate::geometry::{Box2, Detection, RotatedRect};
use crate::landmarks::{FaceLandmarks, HandLandmarks, extent};

/// A detector of one kind of region, to use in place of MediaPipe's.
pub trait RegionDetector: Sync {
    /// Regions of a photograph, or the reason why the network cannot run.
    fn detect(&self, photo: &RgbImage) -> Result<Vec<Instance>, String>;
    /// Identity of the network and its settings (a file's SHA-256), stored with annotations to notice a
    /// change.
    fn identity(&self) -> String;
}

/// The detectors of faces and hands.
#[derive(Clone, Copy)]
pub struct Pipeline<'a> {
    /// MediaPipe's networks.
    pub detectors: &'a Detectors,
    /// Detector of faces in place of MediaPipe's.
    pub faces: Option<&'a dyn RegionDetector>,
    /// Detector of hands in place of MediaPipe's.
    pub hands: Option<&'a dyn RegionDetector>,
}

/// Intersection over union from which landmarks belong to a box of the user's network.
const IOU_THRESHOLD: f32 = 0.3;

impl Pipeline<'_> {
    /// Detects the faces, hands and people of a photograph.
    ///
    /// # Errors
    ///
    /// The reason given by a network of the user's that cannot run.
    pub fn detect(&self, photo: &RgbImage, options: DetectOptions) -> Result<Detections, String> {
        let mut found = detect(photo, self.detectors, options);
        if let Some(detector) = self.faces {
            found.faces = detector.detect(photo)?;
            found.faces.iter_mut().for_each(|face| face.points = self.face_points(photo, &face.bbox));
        }
        if let Some(detector) = self.hands {
            found.hands = detector.detect(photo)?;
            found.hands.iter_mut().for_each(|hand| hand.points = self.hand_points(photo, &hand.bbox));
        }
        Ok(found)
    }

    /// Landmarks of the face in a box; empty if the networks see no face there.
    fn face_points(&self, photo: &RgbImage, bbox: &Box2) -> Vec<[f32; 2]> {
        let eyes = self.detectors.face_short.detect_in(photo, &around(bbox, 2.0), THRESHOLD);
        let same = |face: &&Detection| face.bbox.iou(bbox) >= IOU_THRESHOLD;
        let best = eyes.iter().filter(same).max_by(|a, b| a.bbox.iou(bbox).total_cmp(&b.bbox.iou(bbox)));
        let region = best.map_or_else(|| around(bbox, 1.5), FaceLandmarks::region);
        let face = self.detectors.face_points.find(photo, &region);
        let agreed = face.score >= THRESHOLD && extent(&face.points).iou(bbox) >= IOU_THRESHOLD;
        if agreed { face.points } else { Vec::new() }
    }

    /// Landmarks of the hand in a box; empty if the networks see no hand there.
    fn hand_points(&self, photo: &RgbImage, bbox: &Box2) -> Vec<[f32; 2]> {
        let palms = self.detectors.palm.detect_in(photo, &around(bbox, 2.5), THRESHOLD);
        palms
            .iter()
            .map(|palm| self.detectors.hand_points.find(photo, &HandLandmarks::region(palm)))
            .filter(|hand| hand.score >= THRESHOLD && extent(&hand.points).iou(bbox) >= IOU_THRESHOLD)
            .max_by(|a, b| a.score.total_cmp(&b.score))
            .map_or_else(Vec::new, |hand| hand.points)
    }
}

/// A square around a box, `times` as large as its longer side.
fn around(bbox: &Box2, times: f32) -> RotatedRect {
    RotatedRect::square(bbox.center(), times * bbox.width().max(bbox.height()))
}
