//! Skeletons of drawn people, from the exact key points that `fairhuman people` writes.

use std::path::Path;

use anyhow::Context;
use fairhuman_vision::skeleton::Skeleton;
use serde::Deserialize;

/// OpenPose's body points, by the names of drawn ones.
const BODY: [&str; 18] = [
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
];

/// Points of a hand that must be visible for it to be drawn, as many as would let a detector find it.
const VISIBLE_POINTS: usize = 8;

#[derive(Deserialize)]
struct Drawn {
    figures: Vec<Figure>,
}

#[derive(Deserialize)]
struct Figure {
    body: Vec<Point>,
    face: Vec<Point>,
    right_hand: Hand,
    left_hand: Hand,
}

#[derive(Deserialize)]
struct Hand {
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    #[serde(default)]
    name: String,
    x: f32,
    y: f32,
    /// COCO's flag: 0 outside the picture, 1 occluded, 2 visible.
    visibility: u8,
}

impl Point {
    fn place(&self) -> [f32; 2] {
        [self.x, self.y]
    }
}

/// Reads a file of key points.
///
/// # Errors
/// A file that cannot be read, or is not one of `fairhuman people`.
pub fn read(file: &Path) -> anyhow::Result<Skeleton> {
    let text = fairhuman_files::read(file).with_context(|| file.display().to_string())?;
    let drawn: Drawn = serde_json::from_slice(&text)
        .with_context(|| format!("{}: not key points as `fairhuman people` writes them", file.display()))?;
    let mut skeleton = Skeleton::default();
    for figure in &drawn.figures {
        let point = |name: &str| figure.body.iter().find(|point| point.name == name && point.visibility > 0);
        skeleton.bodies.push(BODY.map(|name| point(name).map(Point::place)));
        for hand in [&figure.right_hand, &figure.left_hand] {
            let visible = hand.points.iter().filter(|point| point.visibility == 2).count();
            if hand.points.len() == 21 && visible >= VISIBLE_POINTS {
                skeleton.hands.push(hand.points.iter().map(Point::place).collect());
            }
        }
        let face: Vec<_> = figure.face.iter().filter(|p| p.visibility == 2).map(Point::place).collect();
        if !face.is_empty() {
            skeleton.faces.push(face);
        }
    }
    Ok(skeleton)
}
