//! Faces in a control image: clusters of white dots.

use std::f32::consts::PI;

use super::pixels::{Pixel, Pixels, clusters, thickness};
use crate::geometry::Box2;

/// Gaps between the dots of a face in radii of a dot, and the dots that a cluster of such gaps must have: the
/// smaller a face beside its dots, the closer they are.
const GAPS: [(f32, f32); 4] = [(5.0, 25.0), (9.0, 25.0), (15.0, 25.0), (22.0, 6.0)];
/// The least pixels of a face: where two colours meet there are a few pale ones.
const LEAST: usize = 12;
/// Share of white pixels beyond which they are no dots.
const MANY: usize = 10;

/// Boxes around the dots' middles.
pub(super) fn read(pixels: &Pixels) -> Vec<Box2> {
    let mut left = pixels.blobs(|pixel| (pixel == Pixel::White).then_some(0));
    let area: usize = left.iter().map(|blob| blob.places.len()).sum();
    if MANY * area > pixels.count() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (gap, least) in GAPS {
        let radius = left.iter().map(|blob| thickness(&blob.places)).fold(0.5, f32::max);
        let (faces, rest): (Vec<_>, Vec<_>) = clusters(left, gap * radius).into_iter().partition(|cluster| {
            let radius = thickness(&cluster.places).max(0.5);
            cluster.places.len() >= LEAST && cluster.places.len() as f32 >= least * PI * radius * radius
        });
        found.extend(faces.iter().filter_map(|face| bounds(&face.places, thickness(&face.places).max(0.5))));
        left = rest;
    }
    found
}

/// The box around the middles of dots of a radius.
pub(super) fn bounds(dots: &[[i32; 2]], radius: f32) -> Option<Box2> {
    let corners = dots.iter().flat_map(|&[x, y]| [[x, y], [x + 1, y + 1]]);
    let all = Box2::around(&corners.map(|corner| corner.map(|v| v as f32)).collect::<Vec<_>>())?;
    let [x, y] = [all.width(), all.height()].map(|side| radius.min(side / 2.0));
    Some(Box2 { x0: all.x0 + x, y0: all.y0 + y, x1: all.x1 - x, y1: all.y1 - y })
}
