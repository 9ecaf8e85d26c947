//! Poses of all people in a photograph, with enlarged tiles for people far away.
//!
//! MediaPipe's pose solution finds one person, who has to fill much of the frame. Here the person detector
//! runs on the whole photograph and on overlapping tiles of two thirds, a half and a third of it; every
//! candidate's pose is estimated twice (the second time in the crop that the first estimate suggests), and
//! candidates that turn out to be the same body are merged.

use image::RgbImage;

use crate::detectors::{Detectors, THRESHOLD};
use crate::geometry::{Box2, Detection, RotatedRect};
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

/// Minimum confidence of a pose from a tile, where false positives are more likely.
const TILE_THRESHOLD: f32 = 0.8;

/// Square tiles of side `side` that cover the photograph and overlap by at least a quarter.
pub fn tiles(width: u32, height: u32, side: f32) -> Vec<RotatedRect> {
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
        .flat_map(|y| columns.iter().map(move |&x| RotatedRect::square([x, y], side)).collect::<Vec<_>>())
        .collect()
}

/// Smallest side of a tile in pixels. Smaller ones show nothing but their own pixels: networks see people in
/// the noses and hands of a small picture.
const SMALLEST_TILE: f32 = 100.0;
/// Times that the shorter side of a photograph goes into the longer one, from which on it is cut into
/// squares.
const WIDE: f32 = 2.0;
/// Tiles along the longer side at most, for strips of film and scrolls.
const MOST_TILES: f32 = 64.0;

/// Sides of the tiles of a photograph: `parts` of its longer side, and where that is much longer than the
/// shorter one, so that a tile of it would be mostly empty, `squares` of the shorter one.
pub(crate) fn sides(width: u32, height: u32, parts: &[f32], squares: &[f32]) -> Vec<f32> {
    let (longer, shorter) = (width.max(height) as f32, width.min(height) as f32);
    let squares = if longer > WIDE * shorter { squares } else { &[] };
    let of_shorter = squares.iter().map(|part| (shorter / part).max(longer / MOST_TILES));
    let mut sides: Vec<f32> = parts.iter().map(|part| longer / part).chain(of_shorter).collect();
    sides.retain(|side| *side >= SMALLEST_TILE);
    sides.dedup();
    sides
}

/// The point halfway between two points.
pub fn middle(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]
}

/// Distance between two points.
pub fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Torso length in pixels, stable from most viewpoints: shoulders to hips, or shoulder to shoulder if that is
/// longer.
pub fn torso(pose: &Pose) -> f32 {
    let [a, b] = point::SHOULDERS.map(|i| pose.points[i]);
    let [c, d] = point::HIPS.map(|i| pose.points[i]);
    distance(middle(a, b), middle(c, d)).max(distance(a, b))
}

/// A person, with one or more pose estimates.
#[derive(Debug, Clone)]
pub struct Body {
    /// The estimate in which most of the upper body is visible.
    pub best: Pose,
    /// All estimates, including [`Body::best`]. Next to other people they may differ: points on which two of
    /// them agree can be trusted.
    pub estimates: Vec<Pose>,
}

/// Number of estimates after which further candidates of a body are skipped.
const MAX_ESTIMATES: usize = 4;

/// Detects people, most confident first; without `zoom` at most one, as MediaPipe does.
pub fn people(photo: &RgbImage, detectors: &Detectors, zoom: bool) -> Vec<Body> {
    let (width, height) = photo.dimensions();
    let whole = detectors.person.detect(photo, THRESHOLD);
    if !zoom {
        let pose = whole.first().and_then(|person| detectors.pose(photo, person));
        return pose.into_iter().map(|best| Body { estimates: vec![best.clone()], best }).collect();
    }
    let mut found: Vec<Body> = Vec::new();
    for candidate in &whole {
        add(photo, detectors, candidate, THRESHOLD, &mut found);
    }
    for side in sides(width, height, &[1.5, 2.0, 3.0], &[1.0]) {
        for tile in tiles(width, height, side) {
            for candidate in detectors.person.detect_in(photo, &tile, THRESHOLD) {
                add(photo, detectors, &candidate, TILE_THRESHOLD, &mut found);
            }
        }
    }
    let phantom = |body: &Body| found.iter().any(|other| is_inside(&body.best, &other.best));
    let mut real: Vec<Body> = found.iter().filter(|body| !phantom(body)).cloned().collect();
    real.sort_by(|a, b| {
        (b.estimates.len().cmp(&a.estimates.len())).then(visible(&b.best).total_cmp(&visible(&a.best)))
    });
    let mut people: Vec<Body> = Vec::new();
    for body in real {
        if !people.iter().any(|other| share_head(&body.best, &other.best)) {
            people.push(body);
        }
    }
    people.sort_by(|a, b| b.best.score.total_cmp(&a.best.score));
    people
}

/// True if two bodies have their noses in the same place: one of them is a false positive.
fn share_head(a: &Pose, b: &Pose) -> bool {
    let apart = distance(a.points[point::NOSE], b.points[point::NOSE]);
    apart < 0.15 * torso(a).max(torso(b))
}

/// Estimates a candidate's pose twice, the second time in the crop that the first estimate suggests, and
/// merges it into `found`.
fn add(
    photo: &RgbImage,
    detectors: &Detectors,
    candidate: &Detection,
    threshold: f32,
    found: &mut Vec<Body>,
) {
    let known = |body: &Body| body.estimates.iter().any(|pose| is_of(candidate, pose));
    if found.iter().any(|body| body.estimates.len() >= MAX_ESTIMATES && known(body)) {
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
                if visible(&pose) > visible(&body.best) {
                    body.best = pose.clone();
                }
                body.estimates.push(pose);
            }
            None => found.push(Body { estimates: vec![pose.clone()], best: pose }),
        }
    }
}

/// Summed visibility of the upper body's points.
fn visible(pose: &Pose) -> f32 {
    pose.visibility[..=point::HIPS[1]].iter().sum()
}

/// True if a body lies within another one of more than twice its size: a face or a glove in a tile, mistaken
/// for a person.
fn is_inside(pose: &Pose, other: &Pose) -> bool {
    torso(pose) < 0.45 * torso(other) && covered(pose, other) > 0.7
}

/// Fraction of a body's trunk that lies in the box of another body's visible points.
pub fn covered(pose: &Pose, other: &Pose) -> f32 {
    match (Box2::around(&TRUNK.map(|i| pose.points[i])), extent(other)) {
        (Some(trunk), Some(whole)) if trunk.area() > 0.0 => trunk.intersection(&whole) / trunk.area(),
        _ => 0.0,
    }
}

/// True if a candidate's shoulders and hips are those of a known pose.
fn is_of(candidate: &Detection, pose: &Pose) -> bool {
    let [a, b] = point::SHOULDERS.map(|i| pose.points[i]);
    let [c, d] = point::HIPS.map(|i| pose.points[i]);
    let near = 0.35 * torso(pose);
    distance(candidate.points[2], middle(a, b)) < near && distance(candidate.points[0], middle(c, d)) < near
}

/// Nose, shoulders and hips.
const TRUNK: [usize; 5] = [point::NOSE, 11, 12, 23, 24];

/// Mean distance between two poses' noses, shoulders and hips.
fn apart(a: &Pose, b: &Pose) -> f32 {
    TRUNK.iter().map(|&i| distance(a.points[i], b.points[i])).sum::<f32>() / TRUNK.len() as f32
}

/// True if two poses are of the same body.
fn same(a: &Pose, b: &Pose) -> bool {
    apart(a, b) <= 0.25 * torso(a).max(torso(b))
}

/// The box of a body's visible points.
pub fn extent(pose: &Pose) -> Option<Box2> {
    let seen = pose.points.iter().zip(&pose.visibility).filter(|(_, v)| **v >= THRESHOLD);
    Box2::around(&seen.map(|(p, _)| *p).collect::<Vec<_>>())
}
