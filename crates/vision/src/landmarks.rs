//! Landmark networks for rotated crops: 21 points of a hand, 468 of a face, 33 of a body.

use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::f32::consts::FRAC_PI_2;
use std::path::Path;

use crate::crop::{Border, crop};
use crate::geometry::{Box2, Detection, RotatedRect, rotation};
use crate::tflite::{Network, NetworkError};

/// A hand's landmarks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hand {
    /// The 21 points in pixels: wrist, then four of each finger from thumb to little finger.
    pub points: Vec<[f32; 2]>,
    /// Confidence that this is a hand, `0..=1`.
    pub score: f32,
    /// Probability of a right hand, assuming a mirrored picture, as MediaPipe reports it.
    pub handedness: f32,
}

/// A face's landmarks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// The 468 points of MediaPipe's face mesh in pixels.
    pub points: Vec<[f32; 2]>,
    /// Confidence that this is a face, `0..=1`.
    pub score: f32,
}

/// A body's landmarks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// The 33 points of MediaPipe's pose in pixels.
    pub points: Vec<[f32; 2]>,
    /// Probability that each point is visible.
    pub visibility: Vec<f32>,
    /// Confidence that this is a person, `0..=1`.
    pub score: f32,
    /// The crop that these points suggest: landmarks estimated in it are more precise.
    #[serde(skip, default = "RotatedRect::empty")]
    pub region: RotatedRect,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The hand network.
pub struct HandLandmarks(Network);

impl HandLandmarks {
    /// Loads `hand_landmark_full.tflite` or `hand_landmark_lite.tflite`.
    pub fn load(file: &Path) -> Result<Self, NetworkError> {
        Network::load(file, 224, &[(0, 63), (1, 1), (2, 1)]).map(Self)
    }

    /// The crop of a palm's hand, along the line from the wrist to the middle finger.
    pub fn region(palm: &Detection) -> RotatedRect {
        let (wrist, finger) = (palm.points[0], palm.points[2]);
        let [w, h] = [palm.bbox.width(), palm.bbox.height()];
        RotatedRect { center: palm.bbox.center(), size: [w, h], angle: rotation(wrist, finger, FRAC_PI_2) }
            .squared([0.0, -0.5], 2.6)
    }

    /// Landmarks of the hand in a crop.
    pub fn find(&self, photo: &RgbImage, region: &RotatedRect) -> Hand {
        let outputs = self.0.run(crop(photo, region, 224, Border::Nearest, (0.0, 1.0)));
        Hand { points: project(&outputs[0], 3, 224, region), score: outputs[1][0], handedness: outputs[2][0] }
    }
}

/// The face network.
pub struct FaceLandmarks(Network);

impl FaceLandmarks {
    /// Loads `face_landmark.tflite`.
    pub fn load(file: &Path) -> Result<Self, NetworkError> {
        Network::load(file, 192, &[(0, 1404), (1, 1)]).map(Self)
    }

    /// The crop of a detected face, with its eyes horizontal.
    pub fn region(face: &Detection) -> RotatedRect {
        let [w, h] = [face.bbox.width(), face.bbox.height()];
        let angle = rotation(face.points[0], face.points[1], 0.0);
        RotatedRect { center: face.bbox.center(), size: [w, h], angle }.squared([0.0, 0.0], 1.5)
    }

    /// Landmarks of the face in a crop.
    pub fn find(&self, photo: &RgbImage, region: &RotatedRect) -> Face {
        let outputs = self.0.run(crop(photo, region, 192, Border::Nearest, (0.0, 1.0)));
        Face { points: project(&outputs[0], 3, 192, region), score: sigmoid(outputs[1][0]) }
    }
}

/// The body network.
pub struct PoseLandmarks(Network);

/// Side of the heat maps that refine a body's points.
const HEAT: usize = 64;
/// Points of the body network: 33 of the body and 6 auxiliary ones.
const POSE_POINTS: usize = 39;
/// Points of a body; the next two are the hips' centre and a point on the circle around the body.
const BODY: usize = 33;

impl PoseLandmarks {
    /// Loads `pose_landmark_full.tflite` (or lite, or heavy).
    pub fn load(file: &Path) -> Result<Self, NetworkError> {
        let heat = HEAT * HEAT * POSE_POINTS;
        Network::load(file, 256, &[(0, 5 * POSE_POINTS), (1, 1), (3, heat)]).map(Self)
    }

    /// The crop of a detected person: around a circle from the hips that contains all limbs.
    pub fn region(person: &Detection) -> RotatedRect {
        Self::around(person.points[0], person.points[1])
    }

    fn around(hips: [f32; 2], reach: [f32; 2]) -> RotatedRect {
        let radius = (reach[0] - hips[0]).hypot(reach[1] - hips[1]);
        RotatedRect { center: hips, size: [2.0 * radius; 2], angle: rotation(hips, reach, FRAC_PI_2) }
            .squared([0.0, 0.0], 1.25)
    }

    /// Landmarks of the person in a crop.
    pub fn find(&self, photo: &RgbImage, region: &RotatedRect) -> Pose {
        let outputs = self.0.run(crop(photo, region, 256, Border::Nearest, (0.0, 1.0)));
        let raw = &outputs[0];
        let mut points = Vec::new();
        let mut visibility = Vec::new();
        for (i, p) in raw.chunks_exact(5).take(BODY + 2).enumerate() {
            let [u, v] = refined([p[0] / 256.0, p[1] / 256.0], &outputs[2], i);
            points.push(region.point(u, v));
            visibility.push(sigmoid(p[3]));
        }
        let region = Self::around(points[BODY], points[BODY + 1]);
        points.truncate(BODY);
        visibility.truncate(BODY);
        Pose { points, visibility, score: outputs[1][0], region }
    }
}

/// Moves a point to the centroid of its heat map over the 9 x 9 cells around it, if one of them reaches 0.5
/// (MediaPipe's `RefineLandmarksFromHeatmapCalculator`; its graph says 7 x 7, but Python's `solutions`, which
/// set options of their own, run it with its default of 9 x 9).
fn refined([u, v]: [f32; 2], heat: &[f32], point: usize) -> [f32; 2] {
    const REACH: i64 = 4;
    let side = HEAT as i64;
    let (column, row) = ((u * HEAT as f32) as i64, (v * HEAT as f32) as i64);
    if !(0..side).contains(&column) || !(0..side).contains(&row) {
        return [u, v];
    }
    let (mut sum, mut x, mut y, mut best) = (0.0, 0.0, 0.0, 0.0f32);
    for r in (row - REACH).max(0)..(row + REACH + 1).min(side) {
        for c in (column - REACH).max(0)..(column + REACH + 1).min(side) {
            let weight = sigmoid(heat[(r * side + c) as usize * POSE_POINTS + point]);
            sum += weight;
            best = best.max(weight);
            x += c as f32 * weight;
            y += r as f32 * weight;
        }
    }
    if best >= 0.5 && sum > 0.0 { [x / HEAT as f32 / sum, y / HEAT as f32 / sum] } else { [u, v] }
}

/// Maps the first two numbers of every point from pixels of the crop to the photograph.
fn project(raw: &[f32], width: usize, side: usize, region: &RotatedRect) -> Vec<[f32; 2]> {
    raw.chunks_exact(width).map(|p| region.point(p[0] / side as f32, p[1] / side as f32)).collect()
}

/// Bounding box of landmarks.
pub fn extent(points: &[[f32; 2]]) -> Box2 {
    Box2::around(points).unwrap_or(Box2 { x0: 0.0, y0: 0.0, x1: 0.0, y1: 0.0 })
}
