//! Skeletons of drawn people, from the exact key points that `fairhuman people` writes.

use std::path::Path;

use anyhow::Context;
use fairhuman_people::{Keypoint, read_figures};
use fairhuman_vision::skeleton::Skeleton;

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

/// Reads a file of key points.
///
/// # Errors
/// A file that cannot be read, or is not one of `fairhuman people`.
pub fn read(file: &Path) -> anyhow::Result<Skeleton> {
    let text = fairhuman_files::read(file).with_context(|| file.display().to_string())?;
    let figures = read_figures(&text)
        .with_context(|| format!("{}: not key points as `fairhuman people` writes them", file.display()))?;
    let place = |point: Keypoint| [point.x, point.y];
    let mut skeleton = Skeleton::default();
    for figure in &figures {
        let point = |name: &str| {
            let named = figure.body.iter().find(|named| named.name == name)?;
            (named.point.visibility > 0).then(|| place(named.point))
        };
        skeleton.bodies.push(BODY.map(point));
        for hand in [&figure.right_hand, &figure.left_hand] {
            let visible = hand.points.iter().filter(|point| point.visibility == 2).count();
            if hand.points.len() == 21 && visible >= VISIBLE_POINTS {
                skeleton.hands.push(hand.points.iter().copied().map(place).collect());
            }
        }
        let seen = figure.face.iter().filter(|named| named.point.visibility == 2);
        let face: Vec<_> = seen.map(|named| place(named.point)).collect();
        if !face.is_empty() {
            skeleton.faces.push(face);
        }
    }
    Ok(skeleton)
}
