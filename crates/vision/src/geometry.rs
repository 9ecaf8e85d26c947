//! Boxes, rotated rectangles and overlaps, all in pixels of the photograph.

use serde::{Deserialize, Serialize};

/// An axis-aligned box, `x0 < x1`, `y0 < y1`; may extend beyond the image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Box2 {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
}

impl Box2 {
    /// Width.
    pub fn width(&self) -> f32 {
        self.x1 - self.x0
    }

    /// Height.
    pub fn height(&self) -> f32 {
        self.y1 - self.y0
    }

    /// Centre point.
    pub fn center(&self) -> [f32; 2] {
        [(self.x0 + self.x1) / 2.0, (self.y0 + self.y1) / 2.0]
    }

    /// Area, 0 for an empty box.
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Area of the intersection with another box.
    pub fn intersection(&self, other: &Self) -> f32 {
        let w = self.x1.min(other.x1) - self.x0.max(other.x0);
        let h = self.y1.min(other.y1) - self.y0.max(other.y0);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union.
    pub fn iou(&self, other: &Self) -> f32 {
        let shared = self.intersection(other);
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// Bounding box of points; `None` without points.
    pub fn around(points: &[[f32; 2]]) -> Option<Self> {
        let mut points = points.iter();
        let [x, y] = *points.next()?;
        let mut found = Self { x0: x, y0: y, x1: x, y1: y };
        for [x, y] in points {
            found.x0 = found.x0.min(*x);
            found.y0 = found.y0.min(*y);
            found.x1 = found.x1.max(*x);
            found.y1 = found.y1.max(*y);
        }
        Some(found)
    }

    /// The box with every edge moved outwards by `by` pixels.
    pub fn expanded(&self, by: f32) -> Self {
        Self { x0: self.x0 - by, y0: self.y0 - by, x1: self.x1 + by, y1: self.y1 + by }
    }

    /// The box clipped to an image.
    pub fn clipped(&self, width: u32, height: u32) -> Self {
        let (w, h) = (width as f32, height as f32);
        Self {
            x0: self.x0.clamp(0.0, w),
            y0: self.y0.clamp(0.0, h),
            x1: self.x1.clamp(0.0, w),
            y1: self.y1.clamp(0.0, h),
        }
    }
}

/// A rotated rectangle: the part of a photograph that a network receives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotatedRect {
    /// Centre.
    pub center: [f32; 2],
    /// Width and height before the rotation.
    pub size: [f32; 2],
    /// Clockwise rotation in radians (the y axis points down).
    pub angle: f32,
}

impl RotatedRect {
    /// The whole image, padded on two sides to a square.
    pub fn letterbox(width: u32, height: u32) -> Self {
        let side = width.max(height) as f32;
        Self { center: [width as f32 / 2.0, height as f32 / 2.0], size: [side; 2], angle: 0.0 }
    }

    /// A rectangle of size zero.
    pub fn empty() -> Self {
        Self { center: [0.0; 2], size: [0.0; 2], angle: 0.0 }
    }

    /// An upright square.
    pub fn square(center: [f32; 2], side: f32) -> Self {
        Self { center, size: [side; 2], angle: 0.0 }
    }

    /// Maps the point `(u, v)` of the rectangle, both in `0..=1`, to the photograph.
    pub fn point(&self, u: f32, v: f32) -> [f32; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let (x, y) = ((u - 0.5) * self.size[0], (v - 0.5) * self.size[1]);
        [self.center[0] + cos * x - sin * y, self.center[1] + sin * x + cos * y]
    }

    /// The rectangle moved by fractions of its size along its own axes, then made a square of its longer side
    /// times `scale` (MediaPipe's `RectTransformationCalculator` with `square_long`).
    pub fn squared(&self, shift: [f32; 2], scale: f32) -> Self {
        let center = self.point(0.5 + shift[0], 0.5 + shift[1]);
        let side = self.size[0].max(self.size[1]) * scale;
        Self { center, size: [side; 2], angle: self.angle }
    }

    /// The axis-aligned box of the same centre and size, as MediaPipe compares rectangles.
    pub fn upright(&self) -> Box2 {
        let [x, y] = self.center;
        let [w, h] = [self.size[0] / 2.0, self.size[1] / 2.0];
        Box2 { x0: x - w, y0: y - h, x1: x + w, y1: y + h }
    }
}

/// The rotation in radians that turns the direction `from -> to` to `target` radians above the x axis.
pub fn rotation(from: [f32; 2], to: [f32; 2], target: f32) -> f32 {
    use std::f32::consts::PI;
    let angle = target - (-(to[1] - from[1])).atan2(to[0] - from[0]);
    angle - 2.0 * PI * ((angle + PI) / (2.0 * PI)).floor()
}

/// A detected object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Bounding box.
    pub bbox: Box2,
    /// Confidence, `0..=1`.
    pub score: f32,
    /// The network's own key points (eyes, wrist, ...).
    pub points: Vec<[f32; 2]>,
}
