//! Everyone in a photograph: people far away are looked for in enlarged tiles.
//!
//! MediaPipe's pose finds one person, and only one who fills much of the frame. Here the person
//! detector looks at the whole and at overlapping tiles of a half and a third of it; every candidate's
//! pose is measured twice (the second time in the region that the first one suggests), and
//! candidates that turn out to be the same body are merged.

use image::RgbImage;

use crate::detectors::{Detectors, THRESHOLD};
use crate::geometry::{Box2, Detection, Region};
use crate::landmarks::{Pose, PoseLandmarks};

/// Points of a body by their number in MediaPipe's pose.
pub mod point {
    /// Tip of the nose; 1 to 6 are the eyes, 7 and 8 the ears, 9 and 10 the corners of the mouth.
    pub const NOSE: usize = 0;
    /// Shoulders, left and right.
    pub const SHOULDERS: [usize; 2] = [11, 12];
    /// Elbows.
    pub const ELBOWS: [usize; 2] = [13, 14];
    /// Wrists.
    pub const WRISTS: [usize; 2] = [15, 16];
    /// Knuckles of the little fingers.
    pub const PINKIES: [usize; 2] = [17, 18];
    /// Knuckles of the index fingers.
    pub const INDICES: [usize; 2] = [19, 20];
    /// Hips.
    pub const HIPS: [usize; 2] = [23, 24];
}

/// A pose network this sure has a person in front of it: from tiles, where there is more to mistake.
const SURE: f32 = 0.8;

/// Square tiles of side `side` that cover the photograph and overlap by at least a quarter.
pub fn tiles(width: u32, height: u32, side: f32) -> Vec<Region> {
    let centers = |length: f32| -> Vec<f32> {
        if length <= side {
            return vec![length / 2.0];
        }
        let steps = ((length - side) / (0.75 * side)).ceil().max(1.0) as usize;
        (0..=steps).map(|i| side / 2.0 + (length - side) * i as f32 / steps as f32).collect()
    };
    let columns = centers(width as f32);
    centers(height as f32)
        .into_iter()
        .flat_map(|y| columns.iter().map(move |&x| Region::square([x, y], side)).collect::<Vec<_>>())
        .collect()
}

/// The point halfway between two points.
pub fn middle(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]
}

/// Distance of two points.
pub fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// A length that a body keeps from most viewpoints: shoulders to hips, or shoulder to shoulder.
pub fn torso(pose: &Pose) -> f32 {
    let [a, b] = point::SHOULDERS.map(|i| pose.points[i]);
    let [c, d] = point::HIPS.map(|i| pose.points[i]);
    distance(middle(a, b), middle(c, d)).max(distance(a, b))
}

/// A person, looked at several times.
#[derive(Debug, Clone)]
pub struct Body {
    /// The look that sees most of the upper body.
    pub best: Pose,
    /// All looks, [`Body::best`] among them. Next to other people they may differ: what two looks
    /// place alike can be trusted.
    pub looks: Vec<Pose>,
}

/// Looks after which a body's further candidates are left out.
const LOOKS: usize = 4;

/// Everyone whom the detectors find, surest first.
pub fn people(photo: &RgbImage, detectors: &Detectors, second_look: bool) -> Vec<Body> {
    let (width, height) = photo.dimensions();
    let longer = width.max(height) as f32;
    let whole = detectors.person.detect(photo, THRESHOLD);
    if !second_look {
        let pose = whole.first().and_then(|person| detectors.pose(photo, person));
        return pose.into_iter().map(|best| Body { looks: vec![best.clone()], best }).collect();
    }
    let mut found: Vec<Body> = Vec::new();
    for candidate in &whole {
        add(photo, detectors, candidate, THRESHOLD, &mut found);
    }
    for part in [1.5, 2.0, 3.0] {
        for tile in tiles(width, height, longer / part) {
            for candidate in detectors.person.detect_in(photo, &tile, THRESHOLD) {
                add(photo, detectors, &candidate, SURE, &mut found);
            }
        }
    }
    let phantom = |body: &Body| found.iter().any(|other| is_inside(&body.best, &other.best));
    let mut real: Vec<Body> = found.iter().filter(|body| !phantom(body)).cloned().collect();
    real.sort_by(|a, b| b.looks.len().cmp(&a.looks.len()).then(sight(&b.best).total_cmp(&sight(&a.best))));
    let mut people: Vec<Body> = Vec::new();
    for body in real {
        if !people.iter().any(|other| share_head(&body.best, &other.best)) {
            people.push(body);
        }
    }
    people.sort_by(|a, b| b.best.score.total_cmp(&a.best.score));
    people
}

/// Whether two bodies have their noses at one place: one of them is a mistake.
fn share_head(a: &Pose, b: &Pose) -> bool {
    let apart = distance(a.points[point::NOSE], b.points[point::NOSE]);
    apart < 0.15 * torso(a).max(torso(b))
}

/// Looks at a candidate twice, the second time at the region that the first look suggests.
fn add(
    photo: &RgbImage,
    detectors: &Detectors,
    candidate: &Detection,
    threshold: f32,
    found: &mut Vec<Body>,
) {
    let known = |body: &Body| body.looks.iter().any(|pose| is_of(candidate, pose));
    if found.iter().any(|body| body.looks.len() >= LOOKS && known(body)) {
        return;
    }
    let mut region = PoseLandmarks::region(candidate);
    for _ in 0..2 {
        let pose = detectors.pose_points.find(photo, &region);
        if pose.score < threshold {
            return;
        }
        region = pose.region;
        let nearest = found
            .iter_mut()
            .filter(|body| same(&pose, &body.best))
            .min_by(|a, b| apart(&pose, &a.best).total_cmp(&apart(&pose, &b.best)));
        match nearest {
            Some(body) => {
                if sight(&pose) > sight(&body.best) {
                    body.best = pose.clone();
                }
                body.looks.push(pose);
            }
            None => found.push(Body { looks: vec![pose.clone()], best: pose }),
        }
    }
}

/// How much of the upper body is in sight.
fn sight(pose: &Pose) -> f32 {
    pose.visibility[..=point::HIPS[1]].iter().sum()
}

/// Whether a body lies within another one of more than twice its size: a face or a glove in a tile
/// that was taken for a person.
fn is_inside(pose: &Pose, other: &Pose) -> bool {
    torso(pose) < 0.45 * torso(other) && covered(pose, other) > 0.7
}

/// Share of a body's trunk that lies in the box of another body's visible points.
pub fn covered(pose: &Pose, other: &Pose) -> f32 {
    match (Box2::around(&TRUNK.map(|i| pose.points[i])), extent(other)) {
        (Some(trunk), Some(whole)) if trunk.area() > 0.0 => trunk.shared(&whole) / trunk.area(),
        _ => 0.0,
    }
}

/// Whether a candidate's shoulders and hips are those of a pose already known.
fn is_of(candidate: &Detection, pose: &Pose) -> bool {
    let [a, b] = point::SHOULDERS.map(|i| pose.points[i]);
    let [c, d] = point::HIPS.map(|i| pose.points[i]);
    let near = 0.35 * torso(pose);
    distance(candidate.points[2], middle(a, b)) < near && distance(candidate.points[0], middle(c, d)) < near
}

/// Nose, shoulders and hips.
const TRUNK: [usize; 5] = [point::NOSE, 11, 12, 23, 24];

/// Mean distance of two poses' noses, shoulders and hips.
fn apart(a: &Pose, b: &Pose) -> f32 {
    TRUNK.iter().map(|&i| distance(a.points[i], b.points[i])).sum::<f32>() / TRUNK.len() as f32
}

/// Whether two poses are of one body.
fn same(a: &Pose, b: &Pose) -> bool {
    apart(a, b) <= 0.25 * torso(a).max(torso(b))
}

/// The box of a body's visible points.
pub fn extent(pose: &Pose) -> Option<Box2> {
    let seen = pose.points.iter().zip(&pose.visibility).filter(|(_, v)| **v >= THRESHOLD);
    Box2::around(&seen.map(|(p, _)| *p).collect::<Vec<_>>())
}
