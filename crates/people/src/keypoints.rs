//! Key points of the drawn figures: joints of bodies and hands, points of faces, each visible, hidden or
//! outside.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tiny_skia::Transform;

use crate::body::Drawn;
use crate::canvas::{Fill, Part, SIDE, Shape, Side};
use crate::geometry::{V2, contains, v2};
use crate::scene::Composed;

/// Names of the body points: COCO's seventeen, in its order, and the neck.
pub const BODY: [&str; 18] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "neck",
];

/// A point on the picture, in pixels, and COCO's flag: 0 outside the picture, 1 occluded, 2 visible.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keypoint {
    /// From the left edge.
    pub x: f32,
    /// From the top edge.
    pub y: f32,
    /// 0 outside the picture, 1 occluded by something drawn later, 2 visible.
    pub visibility: u8,
}

/// A point with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedPoint {
    /// "left" and "right" are the figure's own.
    pub name: Cow<'static, str>,
    /// Its position.
    #[serde(flatten)]
    pub point: Keypoint,
}

/// One hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hand {
    /// Pose of its fingers: open, flat, relaxed, fist, pointing, thumb up, peace or three.
    pub gesture: Cow<'static, str>,
    /// 21 points: wrist, then four from the palm to the tip for thumb, index, middle, ring and little finger.
    pub points: Vec<Keypoint>,
}

/// One person's key points. Left and right are the person's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// "woman", "man", "girl" or "boy".
    pub kind: Cow<'static, str>,
    /// The points of [`BODY`], in its order.
    pub body: Vec<NamedPoint>,
    /// Points of the face: eyes, brows, nose, mouth, ears, jaw and chin.
    pub face: Vec<NamedPoint>,
    /// The right hand.
    pub right_hand: Hand,
    /// The left hand.
    pub left_hand: Hand,
}

/// The key points in a file of [`crate::write_dataset`], person by person.
///
/// # Errors
/// Bytes that are no such file.
pub fn read_figures(bytes: &[u8]) -> serde_json::Result<Vec<Figure>> {
    #[derive(Deserialize)]
    struct File {
        figures: Vec<Figure>,
    }
    serde_json::from_slice(bytes).map(|file: File| file.figures)
}

/// The key points of every person of a composed picture, from left to right, in pixels of a `size` x `size`
/// picture.
pub fn figures(composed: &Composed, size: u32) -> Vec<Figure> {
    composed.drawn.iter().enumerate().map(|(i, drawn)| figure(composed, drawn, i, size)).collect()
}

fn figure(composed: &Composed, drawn: &Drawn, i: usize, size: u32) -> Figure {
    let person = &composed.scene.people[i];
    let (scale, at) = composed.scene.stands[i];
    let to_square = Transform::from_scale(SIDE, SIDE).pre_translate(at.x, at.y).pre_scale(scale, scale);
    let place = |p: V2, order: usize, part: Part| {
        let p = p.through(to_square);
        let inside = (0.0..SIDE).contains(&p.x) && (0.0..SIDE).contains(&p.y);
        let hidden =
            composed.shapes[order..].iter().any(|shape| hides(shape, i, part) && contains(&shape.path, p));
        let pixels = size as f32 / SIDE;
        // Hundredths of a pixel are enough, and keep the files short.
        let round = |v: f32| (v * pixels * 100.0).round() / 100.0;
        Keypoint { x: round(p.x), y: round(p.y), visibility: if !inside { 0 } else { 2 - hidden as u8 } }
    };
    let bones = &drawn.skeleton;
    let order = drawn.order;
    let on_face = |name: &str| {
        let p = drawn.face.iter().find(|(n, _)| *n == name).map_or(v2(0.0, 0.0), |f| f.1);
        place(p, order.head, Part::Head)
    };
    let body_point = |name: &'static str| {
        let k = usize::from(name.starts_with("left"));
        let side = Side::BOTH[k];
        match name.trim_start_matches("left_").trim_start_matches("right_") {
            "shoulder" => place(bones.shoulders[k], order.arms[k], Part::Arm(side)),
            "elbow" => place(bones.elbows[k], order.arms[k], Part::Arm(side)),
            "wrist" => place(bones.wrists[k], order.arms[k], Part::Arm(side)),
            "hip" => place(bones.hips[k], order.legs, Part::Leg(side)),
            "knee" => place(bones.knees[k], order.legs, Part::Leg(side)),
            "ankle" => place(bones.ankles[k], order.legs, Part::Leg(side)),
            "neck" => place(bones.shoulders[0].towards(bones.shoulders[1], 0.5), order.legs, Part::Torso),
            _ => on_face(name),
        }
    };
    let hand = |k: usize| Hand {
        gesture: person.pose.arms[k].gesture.word().into(),
        points: drawn.hands[k]
            .points
            .iter()
            .map(|&p| place(p, order.hands[k], Part::Hand(Side::BOTH[k])))
            .collect(),
    };
    Figure {
        kind: person.kind.word().into(),
        body: BODY.iter().map(|&name| NamedPoint { name: name.into(), point: body_point(name) }).collect(),
        face: drawn
            .face
            .iter()
            .map(|&(name, p)| NamedPoint { name: name.into(), point: place(p, order.head, Part::Head) })
            .collect(),
        right_hand: hand(0),
        left_hand: hand(1),
    }
}

/// True if a shape drawn later hides a point on `part` of figure `i`. The part's own shapes and clothes do
/// not hide it.
fn hides(shape: &Shape, i: usize, part: Part) -> bool {
    if matches!(shape.fill, Fill::Glaze(..)) || shape.figure.is_none() {
        return false;
    }
    if shape.figure != Some(i) {
        return true;
    }
    match (part, shape.part) {
        (a, b) if a == b => false,
        // A wrist is where the hand begins; a shoulder is inside the trunk; the chin's shadow is on the neck.
        (Part::Arm(a), Part::Hand(b)) => a != b,
        (Part::Torso, Part::Head | Part::Arm(_)) => false,
        // Hips and knees under clothes count as visible.
        (Part::Leg(_), Part::Torso | Part::Leg(_)) => false,
        _ => true,
    }
}
