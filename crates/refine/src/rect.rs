//! Rectangles, between pixels and of pixels.

/// A rectangle in pixels of a picture, x0 <= x1 and y0 <= y1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x0: f64,
    /// Top edge.
    pub y0: f64,
    /// Right edge.
    pub x1: f64,
    /// Bottom edge.
    pub y1: f64,
}

impl Rect {
    /// A whole picture of a size (width, height).
    pub fn whole((width, height): (u32, u32)) -> Self {
        Self { x0: 0.0, y0: 0.0, x1: width.into(), y1: height.into() }
    }

    /// Width.
    pub fn width(&self) -> f64 {
        self.x1 - self.x0
    }

    /// Height.
    pub fn height(&self) -> f64 {
        self.y1 - self.y0
    }

    /// The longer side.
    pub fn longer(&self) -> f64 {
        self.width().max(self.height())
    }

    /// Area; 0 of an empty one.
    pub fn area(&self) -> f64 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Centre (x, y).
    pub fn center(&self) -> [f64; 2] {
        [(self.x0 + self.x1) / 2.0, (self.y0 + self.y1) / 2.0]
    }

    /// The rectangle with every edge moved outwards.
    pub fn expanded(&self, by: f64) -> Self {
        Self { x0: self.x0 - by, y0: self.y0 - by, x1: self.x1 + by, y1: self.y1 + by }
    }

    /// The smallest rectangle that holds both.
    pub fn union(&self, other: &Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }

    /// The part of it that lies in another one; empty (of area 0) if there is none.
    pub fn intersection(&self, other: &Self) -> Self {
        let (x0, y0) = (self.x0.max(other.x0), self.y0.max(other.y0));
        Self { x0, y0, x1: self.x1.min(other.x1).max(x0), y1: self.y1.min(other.y1).max(y0) }
    }

    /// The rectangle moved so that as much of it as there is room for lies in a picture (width, height), and
    /// no more.
    pub fn moved_inside(&self, (width, height): (u32, u32)) -> Self {
        let moved = |from: f64, to: f64, end: f64| {
            let length = (to - from).min(end);
            let start = from.clamp(0.0, end - length);
            (start, start + length)
        };
        let (x0, x1) = moved(self.x0, self.x1, width.into());
        let (y0, y1) = moved(self.y0, self.y1, height.into());
        Self { x0, y0, x1, y1 }
    }

    /// Intersection over union, from 0 to 1.
    pub fn iou(&self, other: &Self) -> f64 {
        let shared = self.intersection(other).area();
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }
}

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelRect {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl PixelRect {
    /// The column behind the last one.
    pub fn right(&self) -> u32 {
        self.x + self.width
    }

    /// The row behind the last one.
    pub fn bottom(&self) -> u32 {
        self.y + self.height
    }

    /// True if they have pixels in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }
}
