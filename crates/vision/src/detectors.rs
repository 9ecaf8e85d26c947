//! All of MediaPipe's detectors, as its still-image mode runs them on a whole photograph.

use image::RgbImage;
use std::path::{Path, PathBuf};

use crate::geometry::{Detection, RotatedRect};
use crate::landmarks::{Face, FaceLandmarks, Hand, HandLandmarks, Pose, PoseLandmarks};
use crate::ssd::{self, Detector};
use crate::tflite::NetworkError;

/// All networks, loaded. May be used from several threads at once.
pub struct Detectors {
    /// Faces up to about 2 m away.
    pub face_short: Detector,
    /// Faces up to about 5 m away.
    pub face_full: Detector,
    /// Palms.
    pub palm: Detector,
    /// People.
    pub person: Detector,
    /// Landmarks of faces.
    pub face_points: FaceLandmarks,
    /// Landmarks of hands.
    pub hand_points: HandLandmarks,
    /// Landmarks of bodies.
    pub pose_points: PoseLandmarks,
}

/// Minimum score of a detection or of landmarks.
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

    /// Landmarks of the hands at detected palms, if the hand network confirms them.
    pub fn hands(&self, photo: &RgbImage, palms: &[Detection]) -> Vec<Hand> {
        // Of two regions that mostly overlap the later one is kept, as in MediaPipe.
        let mut regions: Vec<RotatedRect> = Vec::new();
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

    /// Landmarks of a detected person, if the pose network confirms one.
    pub fn pose(&self, photo: &RgbImage, person: &Detection) -> Option<Pose> {
        let pose = self.pose_points.find(photo, &PoseLandmarks::region(person));
        (pose.score >= THRESHOLD).then_some(pose)
    }

    /// Landmarks of a detected face, if the face network confirms it.
    pub fn face(&self, photo: &RgbImage, face: &Detection) -> Option<Face> {
        let found = self.face_points.find(photo, &FaceLandmarks::region(face));
        (found.score >= THRESHOLD).then_some(found)
    }
}

/// Loads MediaPipe's networks from a folder after checking their hashes.
pub fn load_detectors(folder: &Path) -> Result<Detectors, LoadError> {
    crate::models::check(folder).map_err(|source| LoadError::Models { folder: folder.into(), source })?;
    Ok(Detectors::load(folder)?)
}

/// Error of [`load_detectors`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder lacks a network or holds a wrong one.
    #[error("the detectors' networks are not in {folder}: {source}; `fairhuman models get` puts them there")]
    Models {
        /// The folder.
        folder: PathBuf,
        /// The problem.
        source: crate::models::ModelsError,
    },
    /// A network cannot be loaded.
    #[error(transparent)]
    Network(#[from] crate::tflite::NetworkError),
}
