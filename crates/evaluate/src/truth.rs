//! Faces and hands as they should be: from exact key points of drawn people, or from detections in a
//! reference picture.

use std::path::Path;

use fairhuman_people::{Keypoint, NamedPoint, read_figures};
use fairhuman_vision::detect::{Detections, Source};
use fairhuman_vision::geometry::Box2;
use serde::Serialize;

use crate::error::EvaluateError;

/// A face or hand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Its box, in pixels.
    pub bbox: Box2,
    /// Of a hand the 21 points of MediaPipe, of a face the eyes, left and right by the person; none where a
    /// point is hidden. Empty if they are not known.
    pub points: Vec<Option<[f32; 2]>>,
}

/// All of a picture.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Truth {
    /// Faces.
    pub faces: Vec<Part>,
    /// Hands.
    pub hands: Vec<Part>,
}

/// The place of a point that is visible.
fn seen(point: &Keypoint) -> Option<[f32; 2]> {
    (point.visibility == 2).then_some([point.x, point.y])
}

/// The box around the visible ones of some points; none unless most of them are visible.
fn seen_box<'a>(points: impl Iterator<Item = &'a Keypoint>) -> Option<Box2> {
    let all: Vec<_> = points.map(seen).collect();
    let seen: Vec<[f32; 2]> = all.iter().flatten().copied().collect();
    if 2 * seen.len() > all.len() { Box2::around(&seen) } else { None }
}

/// The points of a face that lie inside it.
fn face(points: &[NamedPoint]) -> impl Iterator<Item = &Keypoint> {
    points.iter().filter(|named| !named.name.contains("ear")).map(|named| &named.point)
}

/// Points of MediaPipe's face mesh at the corners of the person's left and right eye.
const EYES: [[usize; 2]; 2] = [[362, 263], [33, 133]];

/// The middles of the eyes of a face mesh, left and right by the person; none without a mesh.
pub(crate) fn eyes(mesh: &[[f32; 2]]) -> Option<[[f32; 2]; 2]> {
    let middle = |corners: [usize; 2]| {
        let [a, b] = corners.map(|i| mesh.get(i).copied());
        a.zip(b).map(|(a, b)| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0])
    };
    Some([middle(EYES[0])?, middle(EYES[1])?])
}

impl Truth {
    /// Reads the key points of a drawn picture.
    ///
    /// # Errors
    /// A file that cannot be read, or is none of `fairhuman people`.
    pub fn read(file: &Path) -> Result<Self, EvaluateError> {
        let bytes = fairhuman_files::read(file).map_err(EvaluateError::io(file))?;
        let figures = read_figures(&bytes).map_err(|e| EvaluateError::List {
            file: file.into(),
            line: e.line(),
            problem: format!("not key points as `fairhuman people` writes them: {e}"),
        })?;
        let mut truth = Self::default();
        for figure in &figures {
            if let Some(bbox) = seen_box(face(&figure.face)) {
                let eye = |name: &str| {
                    figure.face.iter().find(|named| named.name == name).and_then(|named| seen(&named.point))
                };
                truth.faces.push(Part { bbox, points: vec![eye("left_eye"), eye("right_eye")] });
            }
            for hand in [&figure.left_hand, &figure.right_hand] {
                if let Some(bbox) = seen_box(hand.points.iter()) {
                    truth.hands.push(Part { bbox, points: hand.points.iter().map(seen).collect() });
                }
            }
        }
        Ok(truth)
    }

    /// The findings of the detectors in a picture. Hands that only a pose suggests do not count.
    pub fn of_detections(found: &Detections) -> Self {
        let face = |face: &fairhuman_vision::detect::Instance| Part {
            bbox: face.bbox,
            points: eyes(&face.points).map_or_else(Vec::new, |eyes| eyes.map(Some).to_vec()),
        };
        let hands = found.hands.iter().filter(|hand| hand.source != Source::Pose);
        let hand = |hand: &fairhuman_vision::detect::Instance| Part {
            bbox: hand.bbox,
            points: hand.points.iter().copied().map(Some).collect(),
        };
        Self { faces: found.faces.iter().map(face).collect(), hands: hands.map(hand).collect() }
    }

    /// The same in a picture of another size, into whose shape the middle of this one was cut.
    #[must_use]
    pub fn fitted(&self, (width, height): (u32, u32), (to_width, to_height): (u32, u32)) -> Self {
        let [w, h, to_w, to_h] = [width, height, to_width, to_height].map(|side| side as f32);
        let scale = (to_w / w).max(to_h / h);
        let (left, top) = ((w - to_w / scale) / 2.0, (h - to_h / scale) / 2.0);
        let place = |[x, y]: [f32; 2]| [(x - left) * scale, (y - top) * scale];
        let part = |part: &Part| {
            let [x0, y0] = place([part.bbox.x0, part.bbox.y0]);
            let [x1, y1] = place([part.bbox.x1, part.bbox.y1]);
            let points = part.points.iter().map(|point| point.map(place)).collect();
            Part { bbox: Box2 { x0, y0, x1, y1 }, points }
        };
        Self { faces: self.faces.iter().map(part).collect(), hands: self.hands.iter().map(part).collect() }
    }
}
