//! MediaPipe's detectors together, as its still-image mode runs them on a whole photograph.

use image::RgbImage;
use std::path::Path;

use crate::geometry::{Detection, Region};
use crate::landmarks::{Face, FaceLandmarks, Hand, HandLandmarks, Pose, PoseLandmarks};
use crate::ssd::{self, Detector};
use crate::tflite::NetworkError;

/// All networks, loaded; may be used from several threads at once.
pub struct Detectors {
    /// Faces close by.
    pub face_short: Detector,
    /// Faces further away.
    pub face_full: Detector,
    /// Palms.
    pub palm: Detector,
    /// People.
    pub person: Detector,
    /// 468 points of a face.
    pub face_points: FaceLandmarks,
    /// 21 points of a hand.
    pub hand_points: HandLandmarks,
    /// 33 points of a body.
    pub pose_points: PoseLandmarks,
}

/// Score from which an object, a hand or a person counts as found.
pub const THRESHOLD: f32 = 0.5;

impl Detectors {
    /// Loads the seven networks from a folder that holds them under MediaPipe's file names.
    pub fn load(folder: &Path) -> Result<Self, NetworkError> {
        Ok(Self {
            face_short: Detector::load(&folder.join("face_detection_short_range.tflite"), &ssd::FACE_SHORT)?,
            face_full: Detector::load(
                &folder.join("face_detection_full_range_sparse.tflite"),
                &ssd::FACE_FULL,
            )?,
            palm: Detector::load(&folder.join("palm_detection_full.tflite"), &ssd::PALM)?,
            person: Detector::load(&folder.join("pose_detection.tflite"), &ssd::PERSON)?,
            face_points: FaceLandmarks::load(&folder.join("face_landmark.tflite"))?,
            hand_points: HandLandmarks::load(&folder.join("hand_landmark_full.tflite"))?,
            pose_points: PoseLandmarks::load(&folder.join("pose_landmark_full.tflite"))?,
        })
    }

    /// The hands of palms, where the hand network agrees that there is one.
    pub fn hands(&self, photo: &RgbImage, palms: &[Detection]) -> Vec<Hand> {
        // Of two regions that mostly cover each other the later one stays.
        let mut regions: Vec<Region> = Vec::new();
        for palm in palms {
            let new = HandLandmarks::region(palm);
            regions.retain(|r| r.upright().iou(&new.upright()) <= 0.5);
            regions.push(new);
        }
        regions
            .iter()
            .map(|r| self.hand_points.find(photo, r))
            .filter(|hand| hand.score >= THRESHOLD)
            .collect()
    }

    /// The points of the best person, as MediaPipe's single-person pose gives them.
    pub fn pose(&self, photo: &RgbImage, person: &Detection) -> Option<Pose> {
        let pose = self.pose_points.find(photo, &PoseLandmarks::region(person));
        (pose.score >= THRESHOLD).then_some(pose)
    }

    /// The points of a detected face, where the face network agrees that there is one.
    pub fn face(&self, photo: &RgbImage, face: &Detection) -> Option<Face> {
        let found = self.face_points.find(photo, &FaceLandmarks::region(face));
        (found.score >= THRESHOLD).then_some(found)
    }
}
