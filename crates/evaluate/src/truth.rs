//! Faces, hands and bodies as they should be: from exact key points of drawn people, from detections in a
//! reference picture, or from the skeleton of a control image.

use std::path::Path;

use fairhuman_people::{Keypoint, NamedPoint, read_figures};
use fairhuman_vision::detect::{Detections, Source};
use fairhuman_vision::geometry::Box2;
use fairhuman_vision::skeleton::{Drawn, DrawnHand};
use serde::{Deserialize, Serialize};

use crate::error::EvaluateError;

/// A face or hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its box, in pixels.
    pub bbox: Box2,
    /// Of a hand the 21 points of MediaPipe, of a face the eyes, left and right by the person; none where a
    /// point is hidden. Empty if they are not known.
    pub points: Vec<Option<[f32; 2]>>,
}

/// OpenPose's 18 points of a body in pixels, none where one is hidden.
pub type Body = [Option<[f32; 2]>; 18];

/// All of a picture.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Faces; none if it is not known where they are, and how many.
    pub faces: Option<Vec<Part>>,
    /// Hands; likewise.
    pub hands: Option<Vec<Part>>,
    /// Bodies; empty if nothing is known of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bodies: Vec<Body>,
}

/// Points of OpenPose's body.
const NOSE: usize = 0;
const WRISTS: [usize; 2] = [4, 7];
const RIGHT_EYE: usize = 14;
const LEFT_EYE: usize = 15;

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
        let (mut faces, mut hands) = (Vec::new(), Vec::new());
        for figure in &figures {
            if let Some(bbox) = seen_box(face(&figure.face)) {
                let eye = |name: &str| {
                    figure.face.iter().find(|named| named.name == name).and_then(|named| seen(&named.point))
                };
                faces.push(Part { bbox, points: vec![eye("left_eye"), eye("right_eye")] });
            }
            for hand in [&figure.left_hand, &figure.right_hand] {
                if let Some(bbox) = seen_box(hand.points.iter()) {
                    hands.push(Part { bbox, points: hand.points.iter().map(seen).collect() });
                }
            }
        }
        Ok(Self { faces: Some(faces), hands: Some(hands), bodies: Vec::new() })
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
        let (faces, hands) = (found.faces.iter().map(face).collect(), hands.map(hand).collect());
        Self { faces: Some(faces), hands: Some(hands), bodies: Vec::new() }
    }

    /// The people that the skeleton of a control image shows. Where it draws bodies with heads and no face,
    /// or with wrists and no hand, nothing is said of faces, or of hands; see [`Self::least`].
    pub fn of_control(drawn: &Drawn) -> Self {
        let eyes = |face: &Box2| {
            let reach = face.expanded(0.2 * face.width());
            let inside =
                |[x, y]: [f32; 2]| (reach.x0..reach.x1).contains(&x) && (reach.y0..reach.y1).contains(&y);
            // The person's left eye, then the right one.
            let mut own = drawn.bodies.iter().map(|body| [body[LEFT_EYE], body[RIGHT_EYE]]);
            own.find(|eyes| eyes.iter().flatten().any(|eye| inside(*eye)))
        };
        let face = |face: &Box2| Part { bbox: *face, points: eyes(face).map_or_else(Vec::new, Vec::from) };
        let hand = |hand: &DrawnHand| Part { bbox: hand.bbox, points: hand.points.clone() };
        let mut truth = Self { bodies: drawn.bodies.clone(), ..Self::default() };
        let (heads, wrists) = truth.least();
        truth.faces = (!drawn.faces.is_empty() || heads == 0).then(|| drawn.faces.iter().map(face).collect());
        truth.hands =
            (!drawn.hands.is_empty() || wrists == 0).then(|| drawn.hands.iter().map(hand).collect());
        truth
    }

    /// Faces and hands that the bodies promise: heads of which the nose and an eye are seen, and wrists.
    pub fn least(&self) -> (usize, usize) {
        let is_face = |body: &&Body| body[NOSE].is_some() && (body[LEFT_EYE].or(body[RIGHT_EYE])).is_some();
        let wrists = self.bodies.iter().flat_map(|body| WRISTS.map(|wrist| body[wrist]));
        (self.bodies.iter().filter(is_face).count(), wrists.flatten().count())
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
        let parts = |parts: &Option<Vec<Part>>| parts.as_ref().map(|parts| parts.iter().map(part).collect());
        let bodies = self.bodies.iter().map(|body| body.map(|point| point.map(place))).collect();
        Self { faces: parts(&self.faces), hands: parts(&self.hands), bodies }
    }
}
