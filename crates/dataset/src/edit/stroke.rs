//! The marks of a brush on a mask. Strokes come in place of pixels, so that a mask is changed where the brush
//! was, at its own size, and nowhere else, whatever size it was shown at.

use serde::Deserialize;

/// Most points of one change, over all its strokes.
const MOST_POINTS: usize = 200_000;
/// Largest radius of a brush in pixels.
const MOST_RADIUS: f32 = 10_000.0;
/// Coordinates go this far beyond a picture.
const MOST_PLACE: f32 = 1e6;
/// Pixels that one change may set, each as often as it is set: some seconds.
const MOST_PIXELS: u64 = 4_000_000_000;

/// One movement of a hand on a mask, in pixels of the picture from its upper left corner.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Stroke {
    /// A round brush along a path.
    Brush {
        /// True for paint, false for erasing.
        paint: bool,
        /// In pixels.
        radius: f32,
        /// The path, `[x, y]` each.
        points: Vec<[f32; 2]>,
    },
    /// A rectangle with these two corners.
    Box {
        /// True for paint, false for erasing.
        paint: bool,
        /// Two corners that face each other, in any order.
        corners: [[f32; 2]; 2],
    },
    /// The whole picture.
    All {
        /// True for paint, false for erasing.
        paint: bool,
    },
}

/// A mask that is painted on: `[H, W]` bytes, of which 255 is the region.
pub(super) struct Canvas {
    pub width: usize,
    pub pixels: Vec<u8>,
}

impl Canvas {
    /// Applies strokes in their order.
    ///
    /// # Errors
    /// Numbers that no hand makes, in words; the mask may be changed in part then.
    pub fn apply(&mut self, strokes: &[Stroke]) -> Result<(), String> {
        check(strokes)?;
        let mut left = MOST_PIXELS;
        for stroke in strokes {
            match stroke {
                Stroke::All { paint } => self.pixels.fill(value(*paint)),
                Stroke::Box { paint, corners: [[ax, ay], [bx, by]] } => {
                    let rows = self.rows(ay.min(*by), ay.max(*by));
                    for row in rows {
                        self.fill(row, [ax.min(*bx), ax.max(*bx)], *paint, &mut left)?;
                    }
                }
                Stroke::Brush { paint, radius, points } => {
                    let ends = points.iter().skip(1).chain(points.last());
                    for (a, b) in points.iter().zip(ends) {
                        let rows = self.rows(a[1].min(b[1]) - radius, a[1].max(b[1]) + radius);
                        for row in rows {
                            if let Some(span) = span(*a, *b, *radius, row as f32 + 0.5) {
                                self.fill(row, span, *paint, &mut left)?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The rows with a centre between two heights.
    fn rows(&self, from: f32, to: f32) -> std::ops::Range<usize> {
        let height = self.pixels.len() / self.width.max(1);
        first(from, height)..first(to, height)
    }

    /// Sets the pixels of a row with a centre in this span.
    fn fill(&mut self, row: usize, [from, to]: [f32; 2], paint: bool, left: &mut u64) -> Result<(), String> {
        let (from, to) = (first(from, self.width), first(to, self.width));
        let count = to.saturating_sub(from);
        *left = left
            .checked_sub(1 + count as u64)
            .ok_or("too much was painted at once: save more often, or use a smaller brush")?;
        let begin = row * self.width + from;
        self.pixels[begin..begin + count].fill(value(paint));
        Ok(())
    }
}

fn value(paint: bool) -> u8 {
    if paint { 255 } else { 0 }
}

/// The first of `count` pixels whose centre is at or after a place.
fn first(place: f32, count: usize) -> usize {
    ((place - 0.5).ceil().max(0.0) as usize).min(count)
}

/// The part of a horizontal line at `y` that is within `radius` of the way from `a` to `b`.
fn span(a: [f32; 2], b: [f32; 2], radius: f32, y: f32) -> Option<[f32; 2]> {
    let mut found: Option<[f32; 2]> = None;
    let mut add = |from: f32, to: f32| {
        let [low, high] = found.unwrap_or([f32::INFINITY, f32::NEG_INFINITY]);
        found = Some([low.min(from), high.max(to)]);
    };
    for [x, centre] in [a, b] {
        let half = radius * radius - (y - centre) * (y - centre);
        if half >= 0.0 {
            add(x - half.sqrt(), x + half.sqrt());
        }
    }
    // Between the two discs, the rectangle whose sides are `radius` from the way.
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length = dx.hypot(dy);
    if length > 0.0 {
        let (nx, ny) = (-dy / length * radius, dx / length * radius);
        let corners =
            [[a[0] + nx, a[1] + ny], [b[0] + nx, b[1] + ny], [b[0] - nx, b[1] - ny], [a[0] - nx, a[1] - ny]];
        for (i, from) in corners.iter().enumerate() {
            let to = corners[(i + 1) % 4];
            if (from[1] <= y) != (to[1] <= y) {
                let x = from[0] + (y - from[1]) / (to[1] - from[1]) * (to[0] - from[0]);
                add(x, x);
            }
        }
    }
    found
}

/// Refuses numbers that no hand makes.
fn check(strokes: &[Stroke]) -> Result<(), String> {
    let mut count = 0;
    let place = |point: &[f32; 2]| point.iter().all(|v| v.is_finite() && v.abs() <= MOST_PLACE);
    for stroke in strokes {
        count += 1;
        match stroke {
            Stroke::All { .. } => {}
            Stroke::Box { corners, .. } => {
                if !corners.iter().all(place) {
                    return Err(format!("a corner is not within {MOST_PLACE} pixels"));
                }
            }
            Stroke::Brush { radius, points, .. } => {
                count += points.len();
                if !(*radius > 0.0 && *radius <= MOST_RADIUS) {
                    return Err(format!(
                        "the brush's radius is {radius}: expected more than 0, at most {MOST_RADIUS}"
                    ));
                }
                if !points.iter().all(place) {
                    return Err(format!("a point is not within {MOST_PLACE} pixels"));
                }
            }
        }
    }
    match count > MOST_POINTS {
        true => Err(format!("{count} points at once; expected at most {MOST_POINTS}: save more often")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(width: usize, height: usize, strokes: &[Stroke]) -> Result<Vec<usize>, String> {
        let mut canvas = Canvas { width, pixels: vec![0; width * height] };
        canvas.apply(strokes)?;
        Ok((0..canvas.pixels.len()).filter(|i| canvas.pixels[*i] == 255).collect())
    }

    fn brush(paint: bool, radius: f32, points: &[[f32; 2]]) -> Stroke {
        Stroke::Brush { paint, radius, points: points.to_vec() }
    }

    #[test]
    fn a_brush_paints_what_is_within_its_radius_of_its_way() {
        let ways: [&[[f32; 2]]; 4] = [
            &[[20.0, 20.0]],
            &[[5.0, 30.0], [40.0, 12.0]],
            &[[10.0, 5.0], [10.0, 60.0], [60.0, 60.0]],
            &[[-9.0, -9.0], [80.0, 90.0]],
        ];
        for way in ways {
            let found = painted(64, 48, &[brush(true, 6.5, way)]).unwrap();
            let distance = |i: usize| {
                let p = [(i % 64) as f32 + 0.5, (i / 64) as f32 + 0.5];
                let to = |a: [f32; 2], b: [f32; 2]| {
                    let d = [b[0] - a[0], b[1] - a[1]];
                    let along = (p[0] - a[0]) * d[0] + (p[1] - a[1]) * d[1];
                    let t = (along / (d[0] * d[0] + d[1] * d[1]).max(1e-9)).clamp(0.0, 1.0);
                    (p[0] - a[0] - t * d[0]).hypot(p[1] - a[1] - t * d[1])
                };
                let ends = way.iter().skip(1).chain(way.last());
                way.iter().zip(ends).map(|(a, b)| to(*a, *b)).fold(f32::INFINITY, f32::min)
            };
            // What lies on the rim to the last digit may fall to either side.
            for i in 0..64 * 48 {
                let (is, d) = (found.contains(&i), distance(i));
                assert!(is == (d <= 6.5) || (d - 6.5).abs() < 1e-3, "{way:?} {i} {d}");
            }
        }
    }

    #[test]
    fn boxes_and_all_fill_and_what_was_erased_is_gone() {
        let corners = [[6.0, 4.0], [2.0, 1.0]];
        let square = painted(8, 6, &[Stroke::Box { paint: true, corners }]).unwrap();
        assert_eq!(square.len(), 4 * 3);
        assert_eq!(square[0], 8 + 2);
        let all = [Stroke::All { paint: true }, Stroke::Box { paint: false, corners }];
        assert_eq!(painted(8, 6, &all).unwrap().len(), 48 - 12);
        assert!(
            painted(8, 6, &[Stroke::All { paint: true }, Stroke::All { paint: false }]).unwrap().is_empty()
        );
        assert!(painted(8, 6, &[brush(true, 2.0, &[])]).unwrap().is_empty());
        assert!(
            painted(0, 0, &[Stroke::All { paint: true }, brush(true, 2.0, &[[0.0, 0.0]])])
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn numbers_that_no_hand_makes_are_refused() {
        let refused = |stroke: Stroke| painted(8, 8, &[stroke]).unwrap_err();
        for radius in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e9] {
            assert!(refused(brush(true, radius, &[[1.0, 1.0]])).contains("radius"), "{radius}");
        }
        for place in [f32::NAN, f32::INFINITY, 1e30, -1e30] {
            assert!(refused(brush(true, 1.0, &[[place, 1.0]])).contains("point"), "{place}");
            let corners = [[0.0, 0.0], [1.0, place]];
            assert!(refused(Stroke::Box { paint: true, corners }).contains("corner"), "{place}");
        }
        assert!(refused(brush(true, 1.0, &vec![[1.0, 1.0]; MOST_POINTS + 1])).contains("points at once"));
        let wide = vec![[500.0, 500.0]; 5_000];
        let much = painted(1000, 1000, &[brush(true, 9_999.0, &wide)]);
        assert!(much.unwrap_err().contains("too much"));
    }
}
