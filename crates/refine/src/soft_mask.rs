//! Where pixels may change, and by how much.

use image::GrayImage;

use crate::{PixelRect, Rect, Region, Tile};

/// Widths around a region, in shares of its longer side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margins {
    /// All of it changes up to here (the paper's refiner: 0.1).
    pub margin: f64,
    /// From there the mask falls to 0 within this.
    pub feather: f64,
}

impl Default for Margins {
    fn default() -> Self {
        Self { margin: 0.1, feather: 0.15 }
    }
}

/// Least width of the ramp in pixels: a step of one is a seam.
const LEAST_FEATHER: f64 = 2.0;

/// Weights of a picture's pixels, from 0 (stays) to 1 (changes); 0 outside of its area.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftMask {
    area: PixelRect,
    values: Vec<f32>,
}

impl SoftMask {
    /// The mask of a region: 1 on the hull of its landmarks (or in its box) and a margin around, falling to
    /// 0, and 0 at those borders of the tile that are not the picture's own.
    pub fn of_region(region: &Region, tile: &Tile, picture: (u32, u32), margins: Margins) -> Self {
        let longer = region.bounds.longer();
        let hull = hull(&region.points);
        let (margin, feather) = (margins.margin * longer, (margins.feather * longer).max(LEAST_FEATHER));
        let weight = |x: u32, y: u32| {
            let p = [f64::from(x) + 0.5, f64::from(y) + 0.5];
            // The hull of landmarks ends at joints, half a finger inside of the skin.
            let apart = match hull.len() {
                0..=2 => from_box(&region.bounds, p),
                _ => from_hull(&hull, p) - HULL_GROWTH * longer,
            };
            1.0 - (apart - margin) / feather
        };
        Self::ramped(tile, picture, feather, weight)
    }

    /// The part in a box of the mask that a picture of the same size shows, white for 1: as it is, but 0 at
    /// those borders of the tile that are not the picture's own.
    pub fn of_part(mask: &GrayImage, part: &Rect, tile: &Tile) -> Self {
        let inside = |x: u32, y: u32| {
            let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
            (part.x0..=part.x1).contains(&x) && (part.y0..=part.y1).contains(&y)
        };
        let weight = |x: u32, y: u32| match inside(x, y) {
            true => f64::from(mask.get_pixel(x, y).0[0]) / 255.0,
            false => 0.0,
        };
        Self::ramped(tile, mask.dimensions(), LEAST_FEATHER, weight)
    }

    /// `weight` of every pixel of a tile, at most rising by 1 within `feather` pixels of its inner borders.
    fn ramped(
        tile: &Tile,
        (width, height): (u32, u32),
        feather: f64,
        weight: impl Fn(u32, u32) -> f64,
    ) -> Self {
        let area = tile.pixels();
        // Pixels between this one and the border; none where the picture itself ends.
        let inside = |at: u32, first: u32, end: u32, last: u32| {
            let before = if first == 0 { u32::MAX } else { at - first };
            let behind = if end == last { u32::MAX } else { end - 1 - at };
            f64::from(before.min(behind))
        };
        let mut values = Vec::with_capacity(area.width as usize * area.height as usize);
        for y in area.y..area.bottom() {
            let vertical = inside(y, area.y, area.bottom(), height);
            for x in area.x..area.right() {
                let border = inside(x, area.x, area.right(), width).min(vertical) / feather;
                values.push(weight(x, y).clamp(0.0, border.min(1.0)) as f32);
            }
        }
        Self { area, values }
    }

    /// The weight of a pixel of the picture.
    pub fn at(&self, x: u32, y: u32) -> f32 {
        let PixelRect { x: left, y: top, width, .. } = self.area;
        let inside = (left..self.area.right()).contains(&x) && (top..self.area.bottom()).contains(&y);
        if inside { self.values[((y - top) * width + (x - left)) as usize] } else { 0.0 }
    }

    /// The pixels that it was made for.
    pub fn area(&self) -> PixelRect {
        self.area
    }

    /// The smallest rectangle of all pixels above 0.
    pub fn support(&self) -> Option<PixelRect> {
        let PixelRect { x, y, width, .. } = self.area;
        let above = self.values.iter().enumerate().filter(|(_, v)| **v > 0.0).map(|(i, _)| i as u32);
        let (mut low, mut high) = ((u32::MAX, u32::MAX), (0, 0));
        for (column, row) in above.map(|i| (i % width, i / width)) {
            low = (low.0.min(column), low.1.min(row));
            high = (high.0.max(column + 1), high.1.max(row + 1));
        }
        (low.0 < high.0).then(|| PixelRect {
            x: x + low.0,
            y: y + low.1,
            width: high.0 - low.0,
            height: high.1 - low.1,
        })
    }
}

/// Share of a region's longer side by which the hull of landmarks is widened.
const HULL_GROWTH: f64 = 0.05;

/// Distance from a box; negative inside, by the way to the nearest edge.
fn from_box(bounds: &Rect, [x, y]: [f64; 2]) -> f64 {
    let beside = (bounds.x0 - x).max(x - bounds.x1);
    let above = (bounds.y0 - y).max(y - bounds.y1);
    if beside > 0.0 && above > 0.0 { beside.hypot(above) } else { beside.max(above) }
}

/// Distance from a convex outline; 0 inside.
fn from_hull(hull: &[[f64; 2]], p: [f64; 2]) -> f64 {
    let (mut inside, mut nearest) = (true, f64::INFINITY);
    for (i, a) in hull.iter().enumerate() {
        let b = hull[(i + 1) % hull.len()];
        let (d, q) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
        inside &= d[0] * q[1] - d[1] * q[0] >= 0.0;
        let along = ((q[0] * d[0] + q[1] * d[1]) / (d[0] * d[0] + d[1] * d[1]).max(1e-12)).clamp(0.0, 1.0);
        nearest = nearest.min((q[0] - along * d[0]).hypot(q[1] - along * d[1]));
    }
    if inside { 0.0 } else { nearest }
}

/// The convex hull of points (Andrew's monotone chain), without points on its edges.
fn hull(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    sorted.dedup();
    let turns = |a: [f64; 2], b: [f64; 2], c: [f64; 2]| {
        (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0.0
    };
    let half = |points: &mut dyn Iterator<Item = [f64; 2]>| {
        let mut chain: Vec<[f64; 2]> = Vec::new();
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

/// Boxes of the connected parts of a mask above 0, diagonals included, in the order of their first pixels.
pub fn components(mask: &GrayImage) -> Vec<Rect> {
    let (width, height) = mask.dimensions();
    let mut seen = vec![false; width as usize * height as usize];
    let mut boxes = Vec::new();
    for (start, pixel) in mask.pixels().enumerate() {
        if pixel.0[0] == 0 || std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut open = vec![start as u32];
        let (mut low, mut high) = ((u32::MAX, u32::MAX), (0, 0));
        while let Some(i) = open.pop() {
            let (x, y) = (i % width, i / width);
            low = (low.0.min(x), low.1.min(y));
            high = (high.0.max(x + 1), high.1.max(y + 1));
            for row in y.saturating_sub(1)..(y + 2).min(height) {
                for column in x.saturating_sub(1)..(x + 2).min(width) {
                    let at = (row * width + column) as usize;
                    if mask.get_pixel(column, row).0[0] > 0 && !std::mem::replace(&mut seen[at], true) {
                        open.push(at as u32);
                    }
                }
            }
        }
        boxes.push(Rect { x0: low.0.into(), y0: low.1.into(), x1: high.0.into(), y1: high.1.into() });
    }
    boxes
}
