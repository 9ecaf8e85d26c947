//! Masks of detected regions: widened boxes, as the paper's training uses them, or tighter outlines.
//!
//! The published masks are the detectors' boxes, filled and dilated by 16 pixels at 1024 x 1024. Here the 16
//! pixels scale with the photograph ([`margin`]). Outlines are convex hulls of the landmarks, widened by a
//! quarter of that.

use image::{GrayImage, Luma};
use serde::{Deserialize, Serialize};

use crate::detect::Instance;

/// Shape of a mask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Boxes, widened by [`margin`].
    #[default]
    Box,
    /// Convex hulls of landmarks, widened by a quarter of [`margin`]; boxes if there are none.
    Outline,
}

/// Width in pixels by which boxes are widened: 16 at a longer side of 1024.
pub fn margin(width: u32, height: u32) -> f32 {
    16.0 * width.max(height) as f32 / 1024.0
}

/// Mask of `width` x `height` pixels: white inside the regions, black elsewhere.
pub fn mask(width: u32, height: u32, regions: &[Instance], shape: Shape) -> GrayImage {
    let mut mask = GrayImage::new(width, height);
    let margin = margin(width, height);
    for region in regions {
        if shape == Shape::Outline && region.points.len() > 2 {
            fill_hull(&mut mask, &hull(&region.points), margin / 4.0);
        } else {
            fill_box(&mut mask, region, margin);
        }
    }
    mask
}

fn fill_box(mask: &mut GrayImage, region: &Instance, margin: f32) {
    let bbox = region.bbox.expanded(margin).clipped(mask.width(), mask.height());
    for y in bbox.y0.floor() as u32..bbox.y1.ceil() as u32 {
        for x in bbox.x0.floor() as u32..bbox.x1.ceil() as u32 {
            mask.put_pixel(x, y, Luma([255]));
        }
    }
}

/// The convex hull of points, counter-clockwise in a picture (Andrew's monotone chain).
fn hull(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    sorted.dedup();
    let turns = |a: [f32; 2], b: [f32; 2], c: [f32; 2]| {
        (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0.0
    };
    let half = |points: &mut dyn Iterator<Item = [f32; 2]>| {
        let mut chain: Vec<[f32; 2]> = Vec::new();
        for p in points {
            while chain.len() > 1 && !turns(chain[chain.len() - 2], chain[chain.len() - 1], p) {
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut sorted.iter().copied());
    hull.extend(half(&mut sorted.iter().rev().copied()));
    hull
}

/// Fills every pixel whose centre lies in the hull or at most `margin` from it.
fn fill_hull(mask: &mut GrayImage, hull: &[[f32; 2]], margin: f32) {
    let Some(bbox) = crate::geometry::Box2::around(hull) else {
        return;
    };
    let bbox = bbox.expanded(margin).clipped(mask.width(), mask.height());
    for y in bbox.y0.floor() as u32..bbox.y1.ceil() as u32 {
        for x in bbox.x0.floor() as u32..bbox.x1.ceil() as u32 {
            let p = [x as f32 + 0.5, y as f32 + 0.5];
            let (mut inside, mut nearest) = (true, f32::INFINITY);
            for (i, &a) in hull.iter().enumerate() {
                let b = hull[(i + 1) % hull.len()];
                let (d, q) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
                inside &= d[0] * q[1] - d[1] * q[0] >= 0.0;
                let along =
                    ((q[0] * d[0] + q[1] * d[1]) / (d[0] * d[0] + d[1] * d[1]).max(1e-12)).clamp(0.0, 1.0);
                nearest = nearest.min((q[0] - along * d[0]).hypot(q[1] - along * d[1]));
            }
            if inside || nearest <= margin {
                mask.put_pixel(x, y, Luma([255]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, mask};
    use crate::detect::{Instance, Source};
    use crate::geometry::Box2;

    fn area(points: Vec<[f32; 2]>, shape: Shape) -> usize {
        let bbox = Box2 { x0: 400.0, y0: 400.0, x1: 500.0, y1: 450.0 };
        let region = Instance { bbox, score: 1.0, source: Source::Whole, points };
        mask(1024, 768, &[region], shape).pixels().filter(|p| p.0[0] == 255).count()
    }

    #[test]
    fn a_box_is_widened_by_16_pixels_at_1024() {
        assert_eq!(area(vec![], Shape::Box), 132 * 82);
        assert_eq!(area(vec![], Shape::Outline), 132 * 82);
    }

    #[test]
    fn an_outline_is_a_hull_widened_by_a_quarter_of_it() {
        let triangle = vec![[400.0, 400.0], [500.0, 400.0], [400.0, 450.0], [420.0, 410.0]];
        let found = area(triangle, Shape::Outline) as f32;
        let perimeter = 100.0 + 50.0 + 111.8;
        let expected = 2500.0 + 4.0 * perimeter + 16.0 * std::f32::consts::PI;
        assert!((found - expected).abs() < 0.03 * expected, "{found} {expected}");
    }

    #[test]
    fn a_region_that_leaves_the_photograph_is_cut() {
        let bbox = Box2 { x0: -50.0, y0: -50.0, x1: 10.0, y1: 10.0 };
        let region = Instance { bbox, score: 1.0, source: Source::Whole, points: vec![] };
        let mask = mask(64, 64, &[region], Shape::Box);
        assert_eq!(mask.pixels().filter(|p| p.0[0] == 255).count(), 11 * 11);
    }
}
