//! Bodies in a control image: joints by their hues, put together by the limbs between them, as OpenPose puts
//! together what it finds (Cao et al. 2018, section 3.3).

use std::collections::HashSet;
use std::f32::consts::PI;

use super::super::LIMBS;
use super::DrawnHand;
use super::pixels::{Blob, Pixel, Pixels, angle, clusters, thickness};

/// The angle between the hues of joints, and of limbs.
const HUES: f32 = 20.0;
/// Largest difference from a hue.
const NEAR: f32 = 8.0;
/// Least brightness of a joint, whose border over a limb is darker, and the most of a limb, which has 60 %.
const JOINT: u8 = 175;
const LIMB: u8 = 174;
/// Least share of the visible pixels between two joints that must have their limb's colour.
const LINKED: f32 = 0.75;
/// Joints of one hue that are looked at: more are no skeletons.
const MOST: usize = 64;

/// The numbers of the wrists.
const WRISTS: [usize; 2] = [4, 7];

type Body = [Option<[f32; 2]>; 18];

fn hue(pixel: Pixel, range: std::ops::RangeInclusive<u8>) -> Option<u8> {
    let Pixel::Hue(hue, value) = pixel else { return None };
    let number = (hue / HUES).round() as u8 % 18;
    (range.contains(&value) && angle(hue, HUES * f32::from(number)) <= NEAR).then_some(number)
}

/// The bodies; `taken` are pixels of hands.
pub(super) fn read(pixels: &Pixels, hands: &[DrawnHand], taken: &HashSet<[i32; 2]>) -> Vec<Body> {
    let (mut joints, radius) = joints(pixels, hands, taken);
    // Below the wrist of a hand lies one of a body.
    for wrist in hands.iter().filter_map(|hand| hand.points[0]) {
        joints.extend(WRISTS.map(|number| (number, wrist)));
    }
    let mut people: Vec<[Option<usize>; 18]> = Vec::new();
    let mut links: Vec<(f32, f32, usize, usize, usize)> = Vec::new();
    for (limb, (a, b)) in LIMBS.into_iter().enumerate() {
        for (i, from) in joints.iter().enumerate().filter(|(_, joint)| joint.0 == a) {
            for (j, to) in joints.iter().enumerate().filter(|(_, joint)| joint.0 == b) {
                let (share, length) = linked(pixels, limb as u8, (from.1, to.1), radius);
                if share >= LINKED {
                    links.push((share, length, limb, i, j));
                }
            }
        }
    }
    // The surest first, of those the shortest.
    links.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.total_cmp(&b.1)));
    for (_, _, limb, i, j) in links {
        let (a, b) = LIMBS[limb];
        let of = |people: &[[Option<usize>; 18]], number: usize, joint: usize| {
            people.iter().position(|person| person[number] == Some(joint))
        };
        match (of(&people, a, i), of(&people, b, j)) {
            (None, None) => {
                let mut person = [None; 18];
                (person[a], person[b]) = (Some(i), Some(j));
                people.push(person);
            }
            (Some(person), None) => _ = people[person][b].get_or_insert(j),
            (None, Some(person)) => _ = people[person][a].get_or_insert(i),
            (Some(one), Some(other)) if one != other => {
                let clash = (0..18).any(|k| people[one][k].is_some() && people[other][k].is_some());
                if !clash {
                    let joined = people[other];
                    (0..18).for_each(|k| people[one][k] = people[one][k].or(joined[k]));
                    people.swap_remove(other);
                }
            }
            _ => {}
        }
    }
    let mut bodies: Vec<Body> =
        people.into_iter().map(|person| person.map(|joint| joint.map(|i| joints[i].1))).collect();
    let mut limbs =
        pixels.blobs(|pixel| hue(pixel, 60..=LIMB).filter(|limb| usize::from(*limb) < LIMBS.len()));
    limbs.sort_by_key(|blob| std::cmp::Reverse(blob.places.len()));
    limbs.truncate(MOST * LIMBS.len());
    bodies.iter_mut().for_each(|body| add_covered(pixels, (&limbs, hands), radius, body));
    joined(bodies, 3.0 * radius + 3.0)
}

/// Bodies that have a joint in common, the rest of which is the one's or the other's: a hand that covers the
/// joint has come between them.
fn joined(bodies: Vec<Body>, reach: f32) -> Vec<Body> {
    let mut found: Vec<Body> = Vec::new();
    for body in bodies {
        let is_part = |other: &Body| {
            let both = other.iter().zip(&body).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
            let mut gaps = both.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).peekable();
            gaps.peek().is_some() && gaps.all(|gap| gap <= reach)
        };
        match found.iter_mut().find(|other| is_part(other)) {
            Some(other) => (0..18).for_each(|k| other[k] = other[k].or(body[k])),
            None => found.push(body),
        }
    }
    found
}

/// Joints with their numbers, and the radius of their dots.
fn joints(pixels: &Pixels, hands: &[DrawnHand], taken: &HashSet<[i32; 2]>) -> (Vec<(usize, [f32; 2])>, f32) {
    let mut blobs = pixels.blobs(|pixel| hue(pixel, JOINT..=255));
    blobs.iter_mut().for_each(|blob| blob.places.retain(|place| !taken.contains(place)));
    let mut areas: Vec<usize> = Vec::new();
    for number in 0..18 {
        let own = blobs.iter().filter(|blob| blob.class == number).map(|blob| blob.places.len());
        areas.extend(own.max().filter(|area| *area > 0));
    }
    areas.sort_unstable();
    let area = areas.get(areas.len() / 2).map_or(1.0, |&area| area as f32);
    let radius = (area / PI).sqrt().max(0.75);
    let mut found = Vec::new();
    for number in 0..18u8 {
        // What lies over a dot may have cut it into pieces.
        let own: Vec<Blob> = blobs.extract_if(.., |blob| blob.class == number).collect();
        let whole = clusters(own, radius.max(2.5))
            .into_iter()
            .filter(|dot| dot.places.len() as f32 >= 0.2 * area && !is_of_hand(dot, hands, radius));
        found.extend(whole.take(MOST).map(|dot| (usize::from(number), middle(pixels, &dot, area, radius))));
    }
    (found, radius)
}

/// True for what is within a hand and thinner than a dot: what is left of its bones, whose colours mix with
/// those of its joints.
fn is_of_hand(dot: &Blob, hands: &[DrawnHand], radius: f32) -> bool {
    let is_above = |hand: &DrawnHand| is_inside(dot.center(), hand, radius);
    hands.iter().any(is_above) && thickness(&dot.places) < 0.6 * radius
}

/// True for a point within a hand, or near it.
fn is_inside([x, y]: [f32; 2], hand: &DrawnHand, radius: f32) -> bool {
    let bbox = hand.bbox.expanded(2.0 * radius);
    (bbox.x0..bbox.x1).contains(&x) && (bbox.y0..bbox.y1).contains(&y)
}

/// The middle of a dot: of one that is partly covered, that of the disc which explains its pixels best.
fn middle(pixels: &Pixels, dot: &Blob, area: f32, radius: f32) -> [f32; 2] {
    let center = dot.center();
    if dot.places.len() as f32 >= 0.85 * area {
        return center;
    }
    let own: HashSet<[i32; 2]> = dot.places.iter().copied().collect();
    let side = radius.ceil() as i32 + 1;
    let score = |[x, y]: [f32; 2]| {
        let (left, top) = (x.floor() as i32, y.floor() as i32);
        let all = (-side..=side).flat_map(|dy| (-side..=side).map(move |dx| [left + dx, top + dy]));
        let inside = all.filter(|p| (p[0] as f32 + 0.5 - x).hypot(p[1] as f32 + 0.5 - y) <= radius);
        inside.fold(0, |sum, place| match pixels.at(place) {
            _ if own.contains(&place) => sum + 2,
            // Whatever is drawn later may cover it.
            Pixel::White | Pixel::Hue(_, JOINT..) => sum,
            _ => sum - 2,
        })
    };
    let steps = (2.0 * radius).ceil() as i32;
    let moves = (-steps..=steps).flat_map(|dy| (-steps..=steps).map(move |dx| [dx, dy]));
    let places = moves.map(|step| [0, 1].map(|axis| center[axis] + 0.5 * step[axis] as f32));
    let scored: Vec<([f32; 2], i32)> = places.map(|place| (place, score(place))).collect();
    let best = scored.iter().map(|(_, score)| *score).max().unwrap_or_default();
    let best: Vec<[f32; 2]> =
        scored.into_iter().filter(|(_, s)| *s == best).map(|(place, _)| place).collect();
    [0, 1].map(|axis| best.iter().map(|place| place[axis]).sum::<f32>() / best.len().max(1) as f32)
}

/// The share of the visible pixels between two joints that have a limb's colour, and their distance.
fn linked(pixels: &Pixels, limb: u8, (a, b): ([f32; 2], [f32; 2]), radius: f32) -> (f32, f32) {
    let length = (b[0] - a[0]).hypot(b[1] - a[1]);
    let count = (length - 2.0 * radius).floor();
    if count < 3.0 {
        // Dots that touch hide what is between them.
        return (if length <= 3.0 * radius + 3.0 { LINKED } else { 0.0 }, length);
    }
    let (mut own, mut other) = (0.0, 0.0);
    for step in 0..count as usize {
        let at = (radius + (step as f32 + 0.5) * (length - 2.0 * radius) / count) / length;
        let pixel = pixels.under([0, 1].map(|axis| a[axis] + at * (b[axis] - a[axis])));
        match hue(pixel, 40..=LIMB) {
            Some(hue) if hue == limb => own += 1.0,
            // Another limb, a hand or a face may lie over it.
            Some(_) => {}
            None => other += f32::from(u8::from(pixel == Pixel::Black)),
        }
    }
    let is_seen = own >= 0.3 * count || (own >= 2.0 && other == 0.0);
    (if is_seen { own / (own + other) } else { 0.0 }, length)
}

/// Adds joints whose dots are covered: limbs end at them.
fn add_covered(pixels: &Pixels, (limbs, hands): (&[Blob], &[DrawnHand]), radius: f32, body: &mut Body) {
    for (limb, (a, b)) in LIMBS.into_iter().enumerate() {
        for (known, missing) in [(a, b), (b, a)] {
            let (Some(from), None) = (body[known], body[missing]) else { continue };
            let own = limbs.iter().filter(|blob| usize::from(blob.class) == limb);
            // The border of the joint's own dot may have the hue, too: the limb reaches farther.
            let own = own.filter(|blob| blob.distance(from) <= 2.0 * radius + 2.0);
            let far = own.flat_map(|blob| &blob.places).map(|p| [p[0] as f32 + 0.5, p[1] as f32 + 0.5]);
            let length = |p: &[f32; 2]| (p[0] - from[0]).hypot(p[1] - from[1]);
            let Some(far) = far.max_by(|a, b| length(a).total_cmp(&length(b))) else { continue };
            let reach = length(&far);
            if reach < 3.0 * radius {
                continue;
            }
            let along =
                |by: f32| [0, 1].map(|axis| from[axis] + (far[axis] - from[axis]) * (1.0 + by / reach));
            // Below a hand there is no telling how far a limb goes, but for the wrist of one whose own is not
            // known.
            let is_wrist = |hand: &DrawnHand| WRISTS.contains(&missing) && hand.points[0].is_none();
            let mut above = hands.iter().filter(|hand| is_inside(far, hand, radius));
            if !above.all(is_wrist) {
                continue;
            }
            // Below a dot the rest of the limb is hidden: about to the dot's middle.
            let is_covered = |by: f32| {
                matches!(pixels.under(along(by)), Pixel::White | Pixel::Other | Pixel::Hue(_, JOINT..))
            };
            let dot = 2.0 * radius + 3.0;
            let mut farther = (0..dot.ceil() as usize).map(|i| dot + i as f32);
            match (is_covered(1.5), farther.any(is_covered)) {
                (false, _) => body[missing] = Some(along(0.5)),
                (true, false) => body[missing] = Some(along(radius)),
                (true, true) => {}
            }
        }
    }
}
