//! Points, and the few kinds of outline that everything is drawn with.

use std::ops::{Add, Mul, Sub};

use tiny_skia::{Path, PathBuilder, PathSegment, Rect, Transform};

/// A point or a vector; x to the right, y downwards.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct V2 {
    /// To the right.
    pub x: f32,
    /// Downwards.
    pub y: f32,
}

/// Shorthand for a [`V2`].
pub const fn v2(x: f32, y: f32) -> V2 {
    V2 { x, y }
}

impl Add for V2 {
    type Output = V2;
    fn add(self, o: V2) -> V2 {
        v2(self.x + o.x, self.y + o.y)
    }
}

impl Sub for V2 {
    type Output = V2;
    fn sub(self, o: V2) -> V2 {
        v2(self.x - o.x, self.y - o.y)
    }
}

impl Mul<f32> for V2 {
    type Output = V2;
    fn mul(self, s: f32) -> V2 {
        v2(self.x * s, self.y * s)
    }
}

impl V2 {
    /// Euclidean length.
    pub fn length(self) -> f32 {
        self.x.hypot(self.y)
    }

    /// Length one, or zero where there is no direction.
    pub fn unit(self) -> V2 {
        let l = self.length();
        if l > 0.0 { self * (1.0 / l) } else { self }
    }

    /// A quarter turn clockwise on the screen.
    pub fn turned(self) -> V2 {
        v2(-self.y, self.x)
    }

    /// The point a share `t` of the way to `o`.
    pub fn towards(self, o: V2, t: f32) -> V2 {
        self + (o - self) * t
    }

    /// This point mapped by `transform`.
    pub fn through(self, transform: Transform) -> V2 {
        let mut p = tiny_skia::Point::from_xy(self.x, self.y);
        transform.map_point(&mut p);
        v2(p.x, p.y)
    }
}

/// The direction at `degrees` from straight down, positive towards `side` (`+1` right of the picture, `-1`
/// left).
pub fn direction(degrees: f32, side: f32) -> V2 {
    let a = degrees.to_radians();
    v2(side * a.sin(), a.cos())
}

/// The elbow of a two-bone chain from `root` that reaches for `target`, and where it gets to.
/// `side` tells to which side of the line root-target the elbow goes.
pub fn reach(root: V2, target: V2, first: f32, second: f32, side: f32) -> (V2, V2) {
    let line = target - root;
    let far = line.length().clamp((first - second).abs() + 1e-4, first + second - 1e-4);
    let along = line.unit();
    let cos = ((first * first + far * far - second * second) / (2.0 * first * far)).clamp(-1.0, 1.0);
    let sin = (1.0 - cos * cos).sqrt();
    let elbow = root + along * (first * cos) + along.turned() * (first * sin * side);
    (elbow, root + along * far)
}

/// An axis-aligned ellipse.
pub fn ellipse(centre: V2, rx: f32, ry: f32) -> Option<Path> {
    PathBuilder::from_oval(Rect::from_ltrb(centre.x - rx, centre.y - ry, centre.x + rx, centre.y + ry)?)
}

/// A rectangle given by two corners.
pub fn rectangle(left: f32, top: f32, right: f32, bottom: f32) -> Option<Path> {
    Some(PathBuilder::from_rect(Rect::from_ltrb(left, top, right, bottom)?))
}

/// Straight lines through the points.
pub fn polyline(points: &[V2], closed: bool) -> Option<Path> {
    let (first, rest) = points.split_first()?;
    let mut path = PathBuilder::new();
    path.move_to(first.x, first.y);
    for p in rest {
        path.line_to(p.x, p.y);
    }
    if closed {
        path.close();
    }
    path.finish()
}

/// A smooth curve through the points (Catmull-Rom, written as cubic Bézier segments).
pub fn smooth(points: &[V2], closed: bool) -> Option<Path> {
    let n = points.len();
    if n < 3 {
        return polyline(points, closed);
    }
    let at = |i: isize| {
        if closed {
            points[i.rem_euclid(n as isize) as usize]
        } else {
            points[i.clamp(0, n as isize - 1) as usize]
        }
    };
    let mut path = PathBuilder::new();
    path.move_to(points[0].x, points[0].y);
    for i in 0..(if closed { n } else { n - 1 }) as isize {
        let (a, b, c, d) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        let (p, q) = (b + (c - a) * (1.0 / 6.0), c - (d - b) * (1.0 / 6.0));
        path.cubic_to(p.x, p.y, q.x, q.y, c.x, c.y);
    }
    if closed {
        path.close();
    }
    path.finish()
}

/// The points, followed by their mirror images in the axis x = 0, in reverse: a symmetric outline from its
/// right half.
pub fn mirrored(right: &[V2]) -> Vec<V2> {
    let left = right.iter().rev().filter(|p| p.x != 0.0).map(|p| v2(-p.x, p.y));
    right.iter().copied().chain(left).collect()
}

/// The convex hull of discs, as a polygon with enough corners to look round.
pub fn hull(discs: &[(V2, f32)]) -> Option<Path> {
    const CORNERS: usize = 20;
    let mut points: Vec<V2> = Vec::with_capacity(discs.len() * CORNERS);
    for &(centre, radius) in discs {
        for k in 0..CORNERS {
            let a = k as f32 * std::f32::consts::TAU / CORNERS as f32;
            points.push(centre + v2(a.cos(), a.sin()) * radius);
        }
    }
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let cross = |o: V2, a: V2, b: V2| (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
    // Andrew's monotone chain: the lower and the upper half, each dropping points that turn the wrong way.
    let half = |points: &mut dyn Iterator<Item = V2>| {
        let mut chain: Vec<V2> = Vec::new();
        for p in points {
            while chain.len() >= 2 && cross(chain[chain.len() - 2], chain[chain.len() - 1], p) <= 0.0 {
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut outline = half(&mut points.iter().copied());
    outline.extend(half(&mut points.iter().rev().copied()));
    polyline(&outline, true)
}

/// A limb: two discs and what lies between them.
pub fn capsule(a: V2, ra: f32, b: V2, rb: f32) -> Option<Path> {
    hull(&[(a, ra), (b, rb)])
}

/// True if `point` lies inside `path` (non-zero winding; curves taken as eight chords).
pub fn contains(path: &Path, point: V2) -> bool {
    let b = path.bounds();
    if point.x < b.left() || point.x > b.right() || point.y < b.top() || point.y > b.bottom() {
        return false;
    }
    let mut winding = 0;
    let mut edge = |a: V2, b: V2| {
        let side = (b.x - a.x) * (point.y - a.y) - (point.x - a.x) * (b.y - a.y);
        if a.y <= point.y && b.y > point.y && side > 0.0 {
            winding += 1;
        } else if a.y > point.y && b.y <= point.y && side < 0.0 {
            winding -= 1;
        }
    };
    let (mut start, mut here) = (V2::default(), V2::default());
    let of = |p: tiny_skia::Point| v2(p.x, p.y);
    for segment in path.segments() {
        match segment {
            PathSegment::MoveTo(p) => {
                edge(here, start);
                start = of(p);
                here = start;
            }
            PathSegment::LineTo(p) => {
                edge(here, of(p));
                here = of(p);
            }
            PathSegment::QuadTo(c, p) => {
                let (a, c, p) = (here, of(c), of(p));
                for k in 1..=8 {
                    let t = k as f32 / 8.0;
                    let next = a.towards(c, t).towards(c.towards(p, t), t);
                    edge(here, next);
                    here = next;
                }
            }
            PathSegment::CubicTo(c, d, p) => {
                let (a, c, d, p) = (here, of(c), of(d), of(p));
                for k in 1..=8 {
                    let t = k as f32 / 8.0;
                    let (ac, cd, dp) = (a.towards(c, t), c.towards(d, t), d.towards(p, t));
                    let next = ac.towards(cd, t).towards(cd.towards(dp, t), t);
                    edge(here, next);
                    here = next;
                }
            }
            PathSegment::Close => {
                edge(here, start);
                here = start;
            }
        }
    }
    edge(here, start);
    winding != 0
}
