//! Faces and hands of a photograph, small ones included.
//!
//! MediaPipe runs on the whole photograph. That misses small regions: a network input of 192 pixels shows a
//! face of 25 pixels in a 640 pixel photograph as 8 pixels. The zoom pass then runs the detectors on crops,
//! enlarged to the size that the networks were trained on: around the head and the wrists of every person
//! ([`crate::people`]), and on tiles, for people of whom only a face or a hand is in the picture.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::detectors::{Detectors, THRESHOLD};
use crate::geometry::{Box2, Detection, RotatedRect, rotation};
use crate::landmarks::{FaceLandmarks, Hand, HandLandmarks, Pose, extent};
use crate::people::{Body, covered, distance, middle, people, point, sides, tiles, torso};

/// Which detector found a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The detector, on the whole photograph.
    Whole,
    /// The detector, near a person's head or wrist.
    Person,
    /// The detector, in an enlarged tile.
    Tile,
    /// A person's pose alone: a gloved hand or a fist that no hand network recognises.
    Pose,
    /// The user's own network.
    Network,
}

/// A face or a hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Bounding box in pixels of the photograph.
    pub bbox: Box2,
    /// Confidence, `0..=1`.
    pub score: f32,
    /// Which detector found it.
    pub source: Source,
    /// Landmarks (468 of a face, 21 of a hand) in pixels; empty if the landmark network saw none.
    pub points: Vec<[f32; 2]>,
}

/// All detections in a photograph, each list by falling confidence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Detections {
    /// Faces.
    pub faces: Vec<Instance>,
    /// Hands.
    pub hands: Vec<Instance>,
    /// Poses of people.
    pub people: Vec<Pose>,
}

/// Settings of [`detect`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectOptions {
    /// Run the zoom pass for small faces and hands; without it the result is MediaPipe's own.
    pub zoom: bool,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self { zoom: true }
    }
}

/// Minimum confidence of a face in an enlarged crop (which the landmark network must confirm, too) and of a
/// hand in a tile: there are many crops, and each is a chance of a false positive.
const CROP_THRESHOLD: f32 = 0.7;
/// Visibility of a wrist from which its hand is taken to be visible.
const WRIST_THRESHOLD: f32 = 0.85;

/// Detects the faces, hands and people of a photograph.
pub fn detect(photo: &RgbImage, detectors: &Detectors, options: DetectOptions) -> Detections {
    let mut faces = Vec::new();
    for detector in [&detectors.face_full, &detectors.face_short] {
        for face in detector.detect(photo, THRESHOLD) {
            faces.push(with_landmarks(photo, detectors, face, Source::Whole).0);
        }
    }
    let palms = detectors.palm.detect(photo, THRESHOLD);
    let mut hands: Vec<Instance> =
        detectors.hands(photo, &palms).into_iter().map(|h| hand_found(h, Source::Whole)).collect();
    let mut bodies = people(photo, detectors, options.zoom);
    if options.zoom {
        for pose in bodies.iter().flat_map(|body| &body.estimates) {
            let known = |f: &Instance| {
                f.source == Source::Person && distance(f.bbox.center(), head(pose).0) < 0.5 * head(pose).1
            };
            if !faces.iter().any(known) {
                faces.extend(face_of(photo, detectors, pose));
            }
        }
        bodies = plausible(bodies, &faces);
        hands.extend(hands_of(photo, detectors, &bodies));
        let (width, height) = photo.dimensions();
        for side in sides(width, height, &[2.0, 3.0], &[1.0, 2.0]) {
            for tile in tiles(width, height, side) {
                let holds = |body: &Body| {
                    let [x, y] = head(&body.best).0;
                    let area = tile.upright();
                    (area.x0..area.x1).contains(&x) && (area.y0..area.y1).contains(&y)
                };
                if bodies.iter().any(holds) {
                    continue;
                }
                in_tile(photo, detectors, &tile, &mut faces, &mut hands);
            }
        }
    }
    let people = bodies.into_iter().map(|body| body.best).collect();
    let (faces, mut hands) = (deduplicated(faces), deduplicated(hands));
    // A hand in front of a face is one that the detectors see: a box from the pose alone would be wrong
    // there.
    let covers_face =
        |hand: &Instance| faces.iter().any(|f| f.bbox.intersection(&hand.bbox) > 0.3 * hand.bbox.area());
    hands.retain(|hand| hand.source != Source::Pose || !covers_face(hand));
    Detections { faces, hands, people }
}

fn in_tile(
    photo: &RgbImage,
    detectors: &Detectors,
    tile: &RotatedRect,
    faces: &mut Vec<Instance>,
    hands: &mut Vec<Instance>,
) {
    for face in detectors.face_full.detect_in(photo, tile, CROP_THRESHOLD) {
        if faces.iter().all(|f| f.bbox.iou(&face.bbox) < 0.3) {
            let (found, agreed) = with_landmarks(photo, detectors, face, Source::Tile);
            if agreed {
                faces.push(found);
            }
        }
    }
    let palms = detectors.palm.detect_in(photo, tile, THRESHOLD);
    for hand in detectors.hands(photo, &palms) {
        if hand.score >= CROP_THRESHOLD {
            hands.push(hand_found(hand, Source::Tile));
        }
    }
}

/// A detected face with its landmarks; true if the landmark network confirms the face.
fn with_landmarks(
    photo: &RgbImage,
    detectors: &Detectors,
    face: Detection,
    source: Source,
) -> (Instance, bool) {
    let mesh = detectors.face_points.find(photo, &FaceLandmarks::region(&face));
    let agreed = mesh.score >= THRESHOLD;
    let points = if agreed { mesh.points } else { Vec::new() };
    (Instance { bbox: face.bbox, score: face.score, source, points }, agreed)
}

fn hand_found(hand: Hand, source: Source) -> Instance {
    Instance { bbox: extent(&hand.points), score: hand.score, source, points: hand.points }
}

/// Centre of a head, and its distance from the shoulders.
pub(crate) fn head(pose: &Pose) -> ([f32; 2], f32) {
    let head = pose.points[..11].iter().fold([0.0; 2], |sum, p| [sum[0] + p[0] / 11.0, sum[1] + p[1] / 11.0]);
    let [a, b] = point::SHOULDERS.map(|i| pose.points[i]);
    (head, distance(head, middle(a, b)).max(0.3 * torso(pose)))
}

/// Detects a person's face in an enlarged crop around the head.
fn face_of(photo: &RgbImage, detectors: &Detectors, pose: &Pose) -> Option<Instance> {
    let (head, neck) = head(pose);
    let mut best: Option<Detection> = None;
    for (detector, reach) in [(&detectors.face_full, 4.0), (&detectors.face_short, 2.5)] {
        let region = RotatedRect::square(head, reach * neck);
        for face in detector.detect_in(photo, &region, CROP_THRESHOLD) {
            let here = distance(face.bbox.center(), head) < neck;
            if here && best.as_ref().is_none_or(|b| b.score < face.score) {
                best = Some(face);
            }
        }
    }
    let (face, agreed) = with_landmarks(photo, detectors, best?, Source::Person);
    agreed.then_some(face)
}

/// Drops false positives among the bodies: one that lies on a larger one, or upside down on another, needs a
/// face of its own.
fn plausible(bodies: Vec<Body>, faces: &[Instance]) -> Vec<Body> {
    let off = |body: &Body, face: &Instance| {
        let (head, neck) = head(&body.best);
        distance(face.bbox.center(), head) / neck
    };
    let has_face = |body: &Body| {
        let own = |face: &Instance| bodies.iter().all(|other| off(body, face) <= off(other, face));
        faces.iter().any(|face| off(body, face) < 0.5 && own(face))
    };
    let overlaps = |body: &Body| {
        let (size, inverted) = (torso(&body.best), is_inverted(&body.best));
        let doubtful =
            |other: &&Body| torso(&other.best) > 1.1 * size || inverted && !is_inverted(&other.best);
        let others = bodies.iter().filter(doubtful);
        others.map(|other| covered(&body.best, &other.best)).fold(0.0, f32::max) > 0.6
    };
    let real: Vec<bool> = bodies.iter().map(|body| has_face(body) || !overlaps(body)).collect();
    bodies.into_iter().zip(real).filter(|(_, real)| *real).map(|(body, _)| body).collect()
}

/// True if a body's hips are above its shoulders.
fn is_inverted(pose: &Pose) -> bool {
    let height = |pair: [usize; 2]| pair.map(|i| pose.points[i][1]).iter().sum::<f32>();
    height(point::HIPS) < height(point::SHOULDERS)
}

/// A wrist, merged from all pose estimates.
struct Wrist<'a> {
    /// The estimate in which it is most visible.
    pose: &'a Pose,
    /// Index of the person, and 0 = left, 1 = right.
    owner: (usize, usize),
    /// Number of other estimates that agree on its position, within a third of a hand.
    agreeing: usize,
}

impl Wrist<'_> {
    fn at(&self) -> [f32; 2] {
        self.pose.points[point::WRISTS[self.owner.1]]
    }

    fn visible(&self) -> f32 {
        self.pose.visibility[point::WRISTS[self.owner.1]]
    }

    /// Distance to another wrist, in torso lengths.
    fn distance_to(&self, other: &Self) -> f32 {
        distance(self.at(), other.at()) / torso(self.pose).min(torso(other.pose))
    }
}

/// Distinct wrists that are at least half visible, most visible first.
fn wrists(bodies: &[Body]) -> Vec<Wrist<'_>> {
    let estimates =
        bodies.iter().enumerate().flat_map(|(i, body)| body.estimates.iter().map(move |pose| (i, pose)));
    let mut all: Vec<Wrist> = estimates
        .flat_map(|(i, pose)| [0, 1].map(|side| Wrist { pose, owner: (i, side), agreeing: 0 }))
        .filter(|wrist| wrist.visible() >= THRESHOLD)
        .collect();
    all.sort_by(|a, b| b.visible().total_cmp(&a.visible()));
    let mut found: Vec<Wrist> = Vec::new();
    for wrist in all {
        match found.iter_mut().find(|other| other.distance_to(&wrist) < 0.2) {
            Some(same) => same.agreeing += usize::from(same.distance_to(&wrist) < 0.1),
            None => found.push(wrist),
        }
    }
    found
}

/// The hands at people's wrists. A person has one left and one right wrist: if the networks confirm no hand
/// at either candidate, the position with the most agreeing estimates is used.
fn hands_of(photo: &RgbImage, detectors: &Detectors, bodies: &[Body]) -> Vec<Instance> {
    let wrists = wrists(bodies);
    let mut found = Vec::new();
    for wrist in &wrists {
        let rivals = wrists.iter().filter(|other| other.owner == wrist.owner);
        let first =
            rivals.max_by_key(|other| other.agreeing).is_some_and(|best| best.agreeing <= wrist.agreeing);
        found.extend(hand_of(photo, detectors, wrist, first));
    }
    found
}

/// The hand at a wrist: the hand network runs on the crop that the pose suggests, then the palm detector
/// around it. If `pose_suffices`, a clearly visible wrist on which two estimates agree has a hand even if
/// neither network finds it.
fn hand_of(photo: &RgbImage, detectors: &Detectors, wrist: &Wrist, pose_suffices: bool) -> Option<Instance> {
    let (pose, side) = (wrist.pose, wrist.owner.1);
    let region = hand_region(pose, side);
    let around = RotatedRect::square(region.center, 2.0 * region.size[0]);
    let palms = detectors.palm.detect_in(photo, &around, THRESHOLD);
    let regions = std::iter::once(region).chain(palms.iter().map(HandLandmarks::region));
    let best = regions
        .map(|region| detectors.hand_points.find(photo, &region))
        .filter(|hand| hand.score >= THRESHOLD && fits(hand, pose, side))
        .max_by(|a, b| a.score.total_cmp(&b.score));
    if let Some(hand) = best {
        return Some(hand_found(hand, Source::Person));
    }
    let bbox = hand_box(pose, side);
    let inside = bbox.clipped(photo.width(), photo.height()).area() >= 0.75 * bbox.area();
    let visible = wrist.visible();
    (pose_suffices && visible >= WRIST_THRESHOLD && wrist.agreeing > 0 && inside).then(|| Instance {
        bbox,
        score: visible * pose.score,
        source: Source::Pose,
        points: Vec::new(),
    })
}

/// True if a hand has the position and the size that the pose predicts.
fn fits(hand: &Hand, pose: &Pose, side: usize) -> bool {
    let size = extent(&hand.points);
    let size = size.width().max(size.height()) / torso(pose);
    let apart = distance(hand.points[0], pose.points[point::WRISTS[side]]) / torso(pose);
    (0.15..0.8).contains(&size) && apart < 0.35
}

/// The crop of a hand by the pose, as MediaPipe's holistic model takes it: around the middle finger's
/// knuckle, along the line from the wrist.
fn hand_region(pose: &Pose, side: usize) -> RotatedRect {
    let [wrist, pinky, index] =
        [point::WRISTS, point::PINKIES, point::INDICES].map(|list| pose.points[list[side]]);
    let knuckle = [(2.0 * index[0] + pinky[0]) / 3.0, (2.0 * index[1] + pinky[1]) / 3.0];
    let reach = distance(wrist, knuckle).max(0.1 * torso(pose));
    let angle = rotation(wrist, knuckle, std::f32::consts::FRAC_PI_2);
    RotatedRect { center: knuckle, size: [2.0 * reach; 2], angle }.squared([0.0, -0.1], 2.7)
}

/// The box of a hand by the pose alone: a square of 0.3 torso lengths, which a half-closed hand fills.
fn hand_box(pose: &Pose, side: usize) -> Box2 {
    let [wrist, pinky, index, thumb] =
        [point::WRISTS[side], point::PINKIES[side], point::INDICES[side], point::INDICES[side] + 2]
            .map(|i| pose.points[i]);
    let knuckle = middle(index, pinky);
    let center = middle(middle(wrist, knuckle), middle(thumb, knuckle));
    RotatedRect::square(center, 0.3 * torso(pose)).upright()
}

/// One region per face or hand: of overlapping ones a detected one is kept before one from the pose, then the
/// more confident one.
fn deduplicated(mut all: Vec<Instance>) -> Vec<Instance> {
    all.sort_by(|a, b| {
        let from_pose = |f: &Instance| f.source == Source::Pose;
        from_pose(a).cmp(&from_pose(b)).then(b.score.total_cmp(&a.score))
    });
    let mut kept: Vec<Instance> = Vec::new();
    for found in all {
        let covered = |k: &Instance| {
            let smaller = k.bbox.area().min(found.bbox.area());
            k.bbox.intersection(&found.bbox) > 0.5 * smaller || k.bbox.iou(&found.bbox) > 0.3
        };
        if !kept.iter().any(covered) {
            kept.push(found);
        }
    }
    kept.sort_by(|a, b| b.score.total_cmp(&a.score));
    kept
}
