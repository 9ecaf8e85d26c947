//! Hands in a control image: bones by their hues, joints at their ends.

use std::collections::HashSet;
use std::f32::consts::PI;

use super::DrawnHand;
use super::faces::bounds;
use super::pixels::{Blob, Pixel, Pixels, angle, clusters, thickness};

/// Bones, numbered from the thumb's first; each has a hue.
const BONES: u8 = 20;
/// The class of joints.
const JOINT: u8 = BONES;
/// Hue of the joints, and largest difference of theirs and of a bone's.
const BLUE: f32 = 240.0;
const NEAR_BLUE: f32 = 3.0;
const NEAR_BONE: f32 = 6.0;
/// Least brightness of what is neither a limb, which has 60 %, nor the border of a thin line.
const BRIGHT: u8 = 165;
/// Bones that must meet for their point to be a wrist.
const MEETING: usize = 3;
/// Bones that are looked at: more are no skeletons.
const MOST: usize = 400;
/// Radius of the dots of the smallest hand whose bones can be told from what mixes with them.
const SMALL: f32 = 2.0;
/// Factor by which a bone may look longer than the one before it.
const LONGER: f32 = 1.3;
/// The cosine of the sharpest bend from one bone to the next.
const BACK: f32 = -0.5;
/// Gap, in radii of a dot, up to which dots are of one hand.
const BESIDE: f32 = 2.5;
/// Joints whose area a cluster of dots must have to be a hand.
const DOTS: f32 = 6.0;

fn class(pixel: Pixel) -> Option<u8> {
    let Pixel::Hue(hue, BRIGHT..) = pixel else { return None };
    if angle(hue, BLUE) <= NEAR_BLUE {
        return Some(JOINT);
    }
    let bone = (hue / 360.0 * f32::from(BONES)).round() as u8 % BONES;
    (angle(hue, 360.0 * f32::from(bone) / f32::from(BONES)) <= NEAR_BONE).then_some(bone)
}

/// The visible part of a bone.
struct Bone {
    blob: Blob,
    /// Its ends.
    ends: [[f32; 2]; 2],
}

/// The ends of some pixels along their main axis.
fn ends(blob: &Blob) -> [[f32; 2]; 2] {
    let [x, y] = blob.center();
    let offsets = blob.places.iter().map(|p| [p[0] as f32 + 0.5 - x, p[1] as f32 + 0.5 - y]);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for [dx, dy] in offsets.clone() {
        (xx, xy, yy) = (xx + dx * dx, xy + dx * dy, yy + dy * dy);
    }
    let turn = 0.5 * (2.0 * xy).atan2(xx - yy);
    let (sin, cos) = turn.sin_cos();
    let along = offsets.map(|[dx, dy]| dx * cos + dy * sin);
    let (low, high) = along.fold((0.0f32, 0.0f32), |(low, high), t| (low.min(t), high.max(t)));
    [low - 0.5, high + 0.5].map(|t| [x + t * cos, y + t * sin])
}

fn apart(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The point that is `by` beyond `to`, seen from `from`.
fn beyond(from: [f32; 2], to: [f32; 2], by: f32) -> [f32; 2] {
    let length = apart(from, to).max(1e-3);
    [0, 1].map(|axis| to[axis] + (to[axis] - from[axis]) * by / length)
}

/// The hands, and the pixels that are theirs.
pub(super) fn read(pixels: &Pixels) -> (Vec<DrawnHand>, HashSet<[i32; 2]>) {
    let (mut joints, bones): (Vec<Blob>, Vec<Blob>) =
        pixels.blobs(class).into_iter().partition(|blob| blob.class == JOINT);
    let mut bones: Vec<Blob> = bones.into_iter().filter(|blob| blob.places.len() >= 3).collect();
    bones.sort_by_key(|blob| std::cmp::Reverse(blob.places.len()));
    bones.truncate(MOST);
    let mut bones: Vec<Bone> = bones.into_iter().map(|blob| Bone { ends: ends(&blob), blob }).collect();
    let mut taken = HashSet::new();
    let mut hands: Vec<Hand> = Vec::new();
    while let Some((wrist, roots)) = wrist(pixels, &bones) {
        let radius = dot(&joints, wrist);
        let (points, own) = points(pixels, &bones, (wrist, &roots), radius);
        for bone in own.iter().rev() {
            taken.extend(bones.swap_remove(*bone).blob.places);
        }
        if radius < SMALL {
            continue;
        }
        let known: Vec<[f32; 2]> = points.iter().flatten().copied().collect();
        let is_own = |blob: &Blob| known.iter().any(|point| blob.distance(*point) <= 1.2 * radius + 1.0);
        let (own, rest): (Vec<Blob>, Vec<Blob>) = joints.into_iter().partition(is_own);
        joints = rest;
        let places: Vec<[i32; 2]> = own.into_iter().flat_map(|blob| blob.places).collect();
        hands.push(Hand { places, radius, points });
    }
    // Dots of hidden bones belong to the hand beside them.
    let mut rest = Vec::new();
    let reach = hands.iter().map(|hand| hand.radius).fold(0.0, f32::max);
    for blob in if hands.is_empty() { joints } else { clusters(joints, BESIDE * reach) } {
        let gap = |hand: &Hand| blob.gap(&hand.places) / hand.radius;
        let near = hands.iter_mut().map(|hand| (gap(hand), hand)).min_by(|a, b| a.0.total_cmp(&b.0));
        match near {
            Some((gap, hand)) if gap <= BESIDE => hand.places.extend(blob.places),
            _ => rest.push(blob),
        }
    }
    // Hands whose bones are too thin or too short to be seen are clusters of dots; a knee is a single one.
    let radius = rest.iter().map(|blob| thickness(&blob.places)).fold(0.5, f32::max);
    for Blob { places, .. } in clusters(rest, 7.0 * radius) {
        let radius = thickness(&places).max(1.0);
        if places.len() as f32 >= DOTS * PI * radius * radius {
            hands.push(Hand { places, radius, points: vec![None; 21] });
        }
    }
    taken.extend(hands.iter().flat_map(|hand| &hand.places));
    let drawn =
        |hand: Hand| Some(DrawnHand { bbox: bounds(&hand.places, hand.radius)?, points: hand.points });
    (hands.into_iter().filter_map(drawn).collect(), taken)
}

/// A hand that is being read: the pixels of its joints, the radius of their dots, its points.
struct Hand {
    places: Vec<[i32; 2]>,
    radius: f32,
    points: Vec<Option<[f32; 2]>>,
}

/// The radius of the dots around a point.
fn dot(joints: &[Blob], point: [f32; 2]) -> f32 {
    let near = joints.iter().min_by(|a, b| a.distance(point).total_cmp(&b.distance(point)));
    near.map_or(1.0, |blob| thickness(&blob.places)).max(1.0)
}

/// The point from which the lines of bones are least far, by least squares.
fn meeting(bones: &[&Bone]) -> Option<[f32; 2]> {
    let (mut a, mut b, mut c, mut right) = (0.0f64, 0.0f64, 0.0f64, [0.0f64; 2]);
    for bone in bones {
        let [p, q] = bone.ends.map(|end| end.map(f64::from));
        let length = (q[0] - p[0]).hypot(q[1] - p[1]).max(1e-6);
        let n = [(p[1] - q[1]) / length, (q[0] - p[0]) / length];
        let at = n[0] * p[0] + n[1] * p[1];
        // Long ones have the better direction.
        let weight = length * length;
        (a, b, c) = (a + weight * n[0] * n[0], b + weight * n[0] * n[1], c + weight * n[1] * n[1]);
        right = [right[0] + weight * at * n[0], right[1] + weight * at * n[1]];
    }
    let determinant = a * c - b * b;
    (determinant > 1e-3 * a.max(c) * a.max(c)).then(|| {
        [(c * right[0] - b * right[1]) / determinant, (a * right[1] - b * right[0]) / determinant]
            .map(|v| v as f32)
    })
}

/// A wrist, a point where first bones of three or more fingers meet, and these; the one of most.
fn wrist(pixels: &Pixels, bones: &[Bone]) -> Option<([f32; 2], Vec<usize>)> {
    let first: Vec<usize> = (0..bones.len()).filter(|&i| bones[i].blob.class.is_multiple_of(4)).collect();
    let pairs = first.iter().flat_map(|&i| first.iter().map(move |&j| (i, j)).filter(|(i, j)| j < i));
    let candidates = pairs.filter(|&(i, j)| bones[i].blob.class != bones[j].blob.class);
    let candidates = candidates.filter_map(|(i, j)| {
        let own = leading(bones, &first, meeting(&[&bones[i], &bones[j]])?);
        (own.len() >= MEETING).then_some(own)
    });
    let own = candidates.max_by_key(Vec::len)?;
    let point = meeting(&own.iter().map(|&i| &bones[i]).collect::<Vec<_>>())?;
    is_joint(pixels, point, 3).then_some((point, own))
}

/// True if a joint's colour is within some pixels of a point.
fn is_joint(pixels: &Pixels, point: [f32; 2], reach: i32) -> bool {
    let [x, y] = point.map(|v| v.floor() as i32);
    let mut near = (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| [x + dx, y + dy]));
    near.any(|place| class(pixels.at(place)) == Some(JOINT))
}

/// Of some bones those that lead to a point, of each hue the one that is nearest for its length: where joints
/// lie over bones their colours mix to those of others, in short pieces.
fn leading(bones: &[Bone], some: &[usize], point: [f32; 2]) -> Vec<usize> {
    let mut own: Vec<(usize, f32)> = Vec::new();
    for &i in some {
        let [near, far] = from(&bones[i], point);
        let gap = apart(near, point);
        let ray = beyond(far, near, gap);
        if gap > 6.0 + 0.8 * apart(near, far) || apart(ray, point) > 2.0 + 0.08 * gap {
            continue;
        }
        let gap = gap / apart(near, far);
        match own.iter_mut().find(|other| bones[other.0].blob.class == bones[i].blob.class) {
            Some(other) if other.1 <= gap => {}
            Some(other) => *other = (i, gap),
            None => own.push((i, gap)),
        }
    }
    own.into_iter().map(|(i, _)| i).collect()
}

/// The nearer and the farther end of a bone.
fn from(bone: &Bone, point: [f32; 2]) -> [[f32; 2]; 2] {
    let [a, b] = bone.ends;
    if apart(a, point) <= apart(b, point) { [a, b] } else { [b, a] }
}

/// The points of the hand of a wrist, and its bones in rising order.
fn points(
    pixels: &Pixels,
    bones: &[Bone],
    (wrist, roots): ([f32; 2], &[usize]),
    radius: f32,
) -> (Vec<Option<[f32; 2]>>, Vec<usize>) {
    let mut points = vec![None; 21];
    points[0] = Some(wrist);
    let mut own: Vec<usize> = roots.to_vec();
    let reach = 1.7 * radius + 2.5;
    for finger in 0..5u8 {
        let (mut joint, mut before) = (wrist, [0.0f32; 2]);
        for part in 0..4u8 {
            let class = 4 * finger + part;
            let mut of_class = (0..bones.len()).filter(|&i| bones[i].blob.class == class);
            let next = match part {
                0 => of_class.find(|i| roots.contains(i)),
                _ => {
                    let near = of_class.map(|i| (i, bones[i].blob.distance(joint)));
                    let near = near.filter(|(_, gap)| *gap <= reach);
                    let near = near.map(|(i, gap)| (i, gap / apart(bones[i].ends[0], bones[i].ends[1])));
                    near.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
                }
            };
            let Some(i) = next else { break };
            let end = beyond(joint, from(&bones[i], joint)[1], radius);
            let way = [end[0] - joint[0], end[1] - joint[1]];
            let (length, last) = (way[0].hypot(way[1]), before[0].hypot(before[1]));
            let along = way[0] * before[0] + way[1] * before[1];
            let is_next = length <= LONGER * last && along >= BACK * length * last;
            if !is_joint(pixels, end, 1) || (part > 0 && !is_next) {
                break;
            }
            (joint, before) = (end, way);
            points[usize::from(class) + 1] = Some(joint);
            own.push(i);
        }
    }
    own.sort_unstable();
    own.dedup();
    (points, own)
}
