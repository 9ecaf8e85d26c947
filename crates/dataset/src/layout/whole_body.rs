//! Faces and hands of a person, from COCO-WholeBody's boxes and points or from COCO's 17 body points.

use super::coco::Annotation;
use crate::source::Shape;
use crate::spec::CocoShape;

/// The parts of the body that a region may name.
pub(super) const PARTS: [&str; 4] = ["face", "hand", "lefthand", "righthand"];

/// A box of COCO (left, top, width, height) that is not empty.
pub(super) fn box_shape([x, y, width, height]: [f32; 4]) -> Option<Shape> {
    (width > 0.0 && height > 0.0).then_some(Shape::Box([x, y, x + width, y + height]))
}

/// The shapes of a person's face, or of one or both hands.
pub(super) fn shapes(person: &Annotation, name: &str, shape: CocoShape) -> Vec<Shape> {
    if name == "hand" {
        return ["lefthand", "righthand"].iter().flat_map(|n| shapes(person, n, shape)).collect();
    }
    let Some(part) = person.part(name) else {
        return estimate(person, name).into_iter().collect();
    };
    if !part.valid {
        return Vec::new();
    }
    if shape == CocoShape::Points {
        let seen = part.points.as_chunks::<3>().0.iter().filter(|p| p[2] > 0.0);
        let hull = hull(seen.map(|p| [p[0], p[1]]).collect());
        if hull.len() >= 3 {
            return vec![Shape::Polygon(hull)];
        }
    }
    <[f32; 4]>::try_from(part.frame).ok().and_then(box_shape).into_iter().collect()
}

/// A box around a face or hand from body points: nose, eyes, ears (0 to 4), elbows (7, 8), wrists (9, 10).
/// Proportions of the human body: a head is 1.2 ear distances wide, a hand three quarters of a forearm long.
fn estimate(person: &Annotation, name: &str) -> Option<Shape> {
    let points = person.body().as_chunks::<3>().0;
    let point = |i: usize| points.get(i).filter(|p| p[2] > 0.0).map(|p| [p[0], p[1]]);
    let between = |a: usize, b: usize| {
        let (a, b) = (point(a)?, point(b)?);
        Some((b[0] - a[0]).hypot(b[1] - a[1]))
    };
    let square = |[x, y]: [f32; 2], half: f32| {
        (half > 0.0).then_some(Shape::Box([x - half, y - half, x + half, y + half]))
    };
    let hand = |elbow: usize, wrist: usize| {
        let (e, w) = (point(elbow)?, point(wrist)?);
        let along = |k: usize| w[k] + 0.35 * (w[k] - e[k]);
        square([along(0), along(1)], 0.375 * between(elbow, wrist)?)
    };
    match name {
        "lefthand" => hand(7, 9),
        "righthand" => hand(8, 10),
        _ => {
            let half = [(3, 4, 0.6), (1, 2, 1.3), (1, 3, 0.9), (2, 4, 0.9)];
            let half = half.into_iter().filter_map(|(a, b, by)| Some(by * between(a, b)?));
            let seen: Vec<[f32; 2]> = (0..5).filter_map(point).collect();
            let mean = |k: usize| seen.iter().map(|p| p[k]).sum::<f32>() / seen.len() as f32;
            square([mean(0), mean(1)], half.reduce(f32::max)?)
        }
    }
}

/// A shape grown by `by` pixels to all sides: polygons by a square, and made convex.
pub(super) fn dilate(shape: Shape, by: f32) -> Shape {
    match shape {
        Shape::Box([left, top, right, bottom]) => Shape::Box([left - by, top - by, right + by, bottom + by]),
        Shape::Polygon(corners) if by > 0.0 => {
            let around = [[-by, -by], [-by, by], [by, -by], [by, by]];
            let moved = |c: &[f32; 2]| around.map(|a| [c[0] + a[0], c[1] + a[1]]);
            Shape::Polygon(hull(corners.iter().flat_map(moved).collect()))
        }
        polygon => polygon,
    }
}

/// The convex shape around the corners of boxes.
pub(super) fn around(boxes: &[Shape]) -> Shape {
    let corners = boxes.iter().flat_map(|shape| {
        let [left, top, right, bottom] = shape.bounds();
        [[left, top], [left, bottom], [right, top], [right, bottom]]
    });
    Shape::Polygon(hull(corners.collect()))
}

/// The convex hull (Andrew's monotone chain, 1979).
fn hull(mut points: Vec<[f32; 2]>) -> Vec<[f32; 2]> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points.dedup();
    let half = |points: &mut dyn Iterator<Item = &[f32; 2]>| {
        let mut chain: Vec<[f32; 2]> = Vec::new();
        for &p in points {
            while let [.., a, b] = chain[..]
                && (b[0] - a[0]) * (p[1] - a[1]) <= (b[1] - a[1]) * (p[0] - a[0])
            {
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter());
    hull.extend(half(&mut points.iter().rev()));
    hull
}
