//! Faces and hands of a photograph, small ones included.
//!
//! The first look is MediaPipe's, at the whole photograph. It misses what is small: a network input of
//! 192 pixels shows a face of 25 pixels in a 640 pixel photograph as 8 pixels. The second look goes
//! where faces and hands must be: to the head and the wrists of every person ([`crate::people`]), each
//! enlarged to the size that the networks were trained on, and to tiles, for people of whom nothing
//! but a face or a hand is in the picture.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::detectors::{Detectors, THRESHOLD};
use crate::geometry::{Box2, Detection, Region, turn};
use crate::landmarks::{FaceLandmarks, Hand, HandLandmarks, Pose, extent};
use crate::people::{Body, covered, distance, middle, people, point, tiles, torso};

/// What told of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The detector, on the whole photograph.
    Whole,
    /// The detector, near a person's head or wrist.
    Person,
    /// The detector, in an enlarged tile.
    Tile,
    /// A person's pose alone: a hand in a glove or a fist that no hand network knows.
    Pose,
    /// The user's own network.
    Network,
}

/// A face or a hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Where.
    pub bbox: Box2,
    /// How sure, `0..=1`.
    pub score: f32,
    /// What told of it.
    pub source: Source,
    /// Landmarks (468 of a face, 21 of a hand), where the landmark network agreed.
    pub points: Vec<[f32; 2]>,
}

/// Everything found in a photograph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Faces, surest first.
    pub faces: Vec<Found>,
    /// Hands, surest first.
    pub hands: Vec<Found>,
    /// People's poses, surest first.
    pub people: Vec<Pose>,
}

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Whether to look for small faces and hands; without it the result is MediaPipe's own.
    pub second: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { second: true }
    }
}

/// Enlarged crops are many, and each is a chance for a mistake: a face in one must be this sure (and
/// the face network must agree), a hand in a tile too.
const SURE: f32 = 0.7;
/// A wrist this visible has its hand in sight.
const SURE_WRIST: f32 = 0.85;

/// Looks at a photograph.
pub fn look(photo: &RgbImage, detectors: &Detectors, look: Look) -> Findings {
    let mut faces = Vec::new();
    for detector in [&detectors.face_full, &detectors.face_short] {
        for face in detector.detect(photo, THRESHOLD) {
            faces.push(described(photo, detectors, face, Source::Whole).0);
        }
    }
    let palms = detectors.palm.detect(photo, THRESHOLD);
    let mut hands: Vec<Found> =
        detectors.hands(photo, &palms).into_iter().map(|h| hand_found(h, Source::Whole)).collect();
    let mut bodies = people(photo, detectors, look.second);
    if look.second {
        for pose in bodies.iter().flat_map(|body| &body.looks) {
            let known = |f: &Found| {
                f.source == Source::Person && distance(f.bbox.center(), head(pose).0) < 0.5 * head(pose).1
            };
            if !faces.iter().any(known) {
                faces.extend(face_of(photo, detectors, pose));
            }
        }
        bodies = confirmed(bodies, &faces);
        hands.extend(hands_of(photo, detectors, &bodies));
        let (width, height) = photo.dimensions();
        for part in [2.0, 3.0] {
            for tile in tiles(width, height, width.max(height) as f32 / part) {
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
    let (faces, mut hands) = (distinct(faces), distinct(hands));
    // A hand before a face is seen, or it is not there.
    let before = |hand: &Found| faces.iter().any(|f| f.bbox.shared(&hand.bbox) > 0.3 * hand.bbox.area());
    hands.retain(|hand| hand.source != Source::Pose || !before(hand));
    Findings { faces, hands, people }
}

fn in_tile(
    photo: &RgbImage,
    detectors: &Detectors,
    tile: &Region,
    faces: &mut Vec<Found>,
    hands: &mut Vec<Found>,
) {
    for face in detectors.face_full.detect_in(photo, tile, SURE) {
        if faces.iter().all(|f| f.bbox.iou(&face.bbox) < 0.3) {
            let (found, agreed) = described(photo, detectors, face, Source::Tile);
            if agreed {
                faces.push(found);
            }
        }
    }
    let palms = detectors.palm.detect_in(photo, tile, THRESHOLD);
    for hand in detectors.hands(photo, &palms) {
        if hand.score >= SURE {
            hands.push(hand_found(hand, Source::Tile));
        }
    }
}

/// A detected face with its landmarks, and whether the landmark network sees a face there.
fn described(photo: &RgbImage, detectors: &Detectors, face: Detection, source: Source) -> (Found, bool) {
    let mesh = detectors.face_points.find(photo, &FaceLandmarks::region(&face));
    let agreed = mesh.score >= THRESHOLD;
    let points = if agreed { mesh.points } else { Vec::new() };
    (Found { bbox: face.bbox, score: face.score, source, points }, agreed)
}

fn hand_found(hand: Hand, source: Source) -> Found {
    Found { bbox: extent(&hand.points), score: hand.score, source, points: hand.points }
}

/// The middle of a head, and its distance from the shoulders.
fn head(pose: &Pose) -> ([f32; 2], f32) {
    let head = pose.points[..11].iter().fold([0.0; 2], |sum, p| [sum[0] + p[0] / 11.0, sum[1] + p[1] / 11.0]);
    let [a, b] = point::SHOULDERS.map(|i| pose.points[i]);
    (head, distance(head, middle(a, b)).max(0.3 * torso(pose)))
}

/// The face of a person: the detectors look at the head, enlarged.
fn face_of(photo: &RgbImage, detectors: &Detectors, pose: &Pose) -> Option<Found> {
    let (head, neck) = head(pose);
    let mut best: Option<Detection> = None;
    for (detector, reach) in [(&detectors.face_full, 4.0), (&detectors.face_short, 2.5)] {
        let region = Region::square(head, reach * neck);
        for face in detector.detect_in(photo, &region, SURE) {
            let here = distance(face.bbox.center(), head) < neck;
            if here && best.as_ref().is_none_or(|b| b.score < face.score) {
                best = Some(face);
            }
        }
    }
    let (face, agreed) = described(photo, detectors, best?, Source::Person);
    agreed.then_some(face)
}

/// Bodies that are not mistakes: one that lies upon a larger one, or upside down upon another, needs a face of its own.
fn confirmed(bodies: Vec<Body>, faces: &[Found]) -> Vec<Body> {
    let off = |body: &Body, face: &Found| {
        let (head, neck) = head(&body.best);
        distance(face.bbox.center(), head) / neck
    };
    let faced = |body: &Body| {
        let own = |face: &Found| bodies.iter().all(|other| off(body, face) <= off(other, face));
        faces.iter().any(|face| off(body, face) < 0.5 && own(face))
    };
    let upon = |body: &Body| {
        let (size, inverted) = (torso(&body.best), is_inverted(&body.best));
        let doubtful =
            |other: &&Body| torso(&other.best) > 1.1 * size || inverted && !is_inverted(&other.best);
        let others = bodies.iter().filter(doubtful);
        others.map(|other| covered(&body.best, &other.best)).fold(0.0, f32::max) > 0.6
    };
    let real: Vec<bool> = bodies.iter().map(|body| faced(body) || !upon(body)).collect();
    bodies.into_iter().zip(real).filter(|(_, real)| *real).map(|(body, _)| body).collect()
}

/// Whether a body's hips are above its shoulders.
fn is_inverted(pose: &Pose) -> bool {
    let height = |pair: [usize; 2]| pair.map(|i| pose.points[i][1]).iter().sum::<f32>();
    height(point::HIPS) < height(point::SHOULDERS)
}

/// A wrist as the looks at all people see it.
struct Wrist<'a> {
    /// The clearest look.
    pose: &'a Pose,
    /// Number of the person and 0 = left, 1 = right.
    of: (usize, usize),
    /// Other looks that place it alike, within a third of a hand.
    agreeing: usize,
}

impl Wrist<'_> {
    fn at(&self) -> [f32; 2] {
        self.pose.points[point::WRISTS[self.of.1]]
    }

    fn visible(&self) -> f32 {
        self.pose.visibility[point::WRISTS[self.of.1]]
    }

    /// Distance of another wrist in torsos.
    fn apart(&self, other: &Self) -> f32 {
        distance(self.at(), other.at()) / torso(self.pose).min(torso(other.pose))
    }
}

/// Wrists at least half in sight, clearest first, each once.
fn wrists(bodies: &[Body]) -> Vec<Wrist<'_>> {
    let looks = bodies.iter().enumerate().flat_map(|(i, body)| body.looks.iter().map(move |pose| (i, pose)));
    let mut all: Vec<Wrist> = looks
        .flat_map(|(i, pose)| [0, 1].map(|side| Wrist { pose, of: (i, side), agreeing: 0 }))
        .filter(|wrist| wrist.visible() >= THRESHOLD)
        .collect();
    all.sort_by(|a, b| b.visible().total_cmp(&a.visible()));
    let mut found: Vec<Wrist> = Vec::new();
    for wrist in all {
        match found.iter_mut().find(|other| other.apart(&wrist) < 0.2) {
            Some(same) => same.agreeing += usize::from(same.apart(&wrist) < 0.1),
            None => found.push(wrist),
        }
    }
    found
}

/// The hands at people's wrists. A person has one left and one right wrist: where the networks
/// confirm no hand, the place on which most looks agree counts.
fn hands_of(photo: &RgbImage, detectors: &Detectors, bodies: &[Body]) -> Vec<Found> {
    let wrists = wrists(bodies);
    let mut found = Vec::new();
    for wrist in &wrists {
        let rivals = wrists.iter().filter(|other| other.of == wrist.of);
        let first =
            rivals.max_by_key(|other| other.agreeing).is_some_and(|best| best.agreeing <= wrist.agreeing);
        found.extend(hand_of(photo, detectors, wrist, first));
    }
    found
}

/// The hand at a wrist: the hand network looks where the pose has the hand, then the palm detector
/// around it. A clearly visible wrist on which two looks agree has a hand though neither network
/// knows it (`alone`: whether the pose alone may say so).
fn hand_of(photo: &RgbImage, detectors: &Detectors, wrist: &Wrist, alone: bool) -> Option<Found> {
    let (pose, side) = (wrist.pose, wrist.of.1);
    let region = hand_region(pose, side);
    let around = Region::square(region.center, 2.0 * region.size[0]);
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
    (alone && visible >= SURE_WRIST && wrist.agreeing > 0 && inside).then(|| Found {
        bbox,
        score: visible * pose.score,
        source: Source::Pose,
        points: Vec::new(),
    })
}

/// Whether a hand has the place and the size that the pose gives it.
fn fits(hand: &Hand, pose: &Pose, side: usize) -> bool {
    let size = extent(&hand.points);
    let size = size.width().max(size.height()) / torso(pose);
    let apart = distance(hand.points[0], pose.points[point::WRISTS[side]]) / torso(pose);
    (0.15..0.8).contains(&size) && apart < 0.35
}

/// Where the pose has a hand, as MediaPipe's holistic model crops it: around the middle finger's
/// knuckle, along the line from the wrist.
fn hand_region(pose: &Pose, side: usize) -> Region {
    let [wrist, pinky, index] =
        [point::WRISTS, point::PINKIES, point::INDICES].map(|list| pose.points[list[side]]);
    let knuckle = [(2.0 * index[0] + pinky[0]) / 3.0, (2.0 * index[1] + pinky[1]) / 3.0];
    let reach = distance(wrist, knuckle).max(0.1 * torso(pose));
    let angle = turn(wrist, knuckle, std::f32::consts::FRAC_PI_2);
    Region { center: knuckle, size: [2.0 * reach; 2], angle }.squared([0.0, -0.1], 2.7)
}

/// The hand's box by the pose alone: a square of 0.3 of the torso, which a half-closed hand fills.
fn hand_box(pose: &Pose, side: usize) -> Box2 {
    let [wrist, pinky, index, thumb] =
        [point::WRISTS[side], point::PINKIES[side], point::INDICES[side], point::INDICES[side] + 2]
            .map(|i| pose.points[i]);
    let knuckle = middle(index, pinky);
    let center = middle(middle(wrist, knuckle), middle(thumb, knuckle));
    Region::square(center, 0.3 * torso(pose)).upright()
}

/// One region per face or hand: of overlapping ones the better source, then the surer one, stays.
fn distinct(mut all: Vec<Found>) -> Vec<Found> {
    all.sort_by(|a, b| {
        let guessed = |f: &Found| f.source == Source::Pose;
        guessed(a).cmp(&guessed(b)).then(b.score.total_cmp(&a.score))
    });
    let mut kept: Vec<Found> = Vec::new();
    for found in all {
        let covered = |k: &Found| {
            let smaller = k.bbox.area().min(found.bbox.area());
            k.bbox.shared(&found.bbox) > 0.5 * smaller || k.bbox.iou(&found.bbox) > 0.3
        };
        if !kept.iter().any(covered) {
            kept.push(found);
        }
    }
    kept.sort_by(|a, b| b.score.total_cmp(&a.score));
    kept
}
