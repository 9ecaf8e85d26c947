//! The connected components of a mask, and the number of latent cells that each one gets.
//!
//! Components are found on runs of white pixels (8 neighbours, union of runs of adjacent rows), so that a
//! mask of a hundred million pixels costs one pass over its bytes.

use crate::geometry::Draw;
use crate::resample::source;

/// A run of white pixels: row, first column, and the column after the last.
#[derive(Debug, Clone, Copy)]
struct Run {
    row: usize,
    start: usize,
    end: usize,
}

/// A connected component of a mask.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    runs: Vec<Run>,
}

/// The coverage of a component at latent resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// The number of cells that it covers by at least the threshold.
    Cells(usize),
    /// It lies in the kept part of the picture, but covers no cell enough.
    Vanishes,
    /// It lies outside.
    Cropped,
}

/// The components of a mask of `width` columns; white is 128 and more.
pub(crate) fn components(mask: &[u8], width: usize) -> Vec<Component> {
    let mut runs: Vec<Run> = Vec::new();
    let mut parent: Vec<usize> = Vec::new();
    let mut above = 0..0;
    for (row, pixels) in mask.chunks_exact(width.max(1)).enumerate() {
        let first = runs.len();
        let mut column = 0;
        while let Some(start) = pixels[column..].iter().position(|v| *v >= 128).map(|n| n + column) {
            let end = pixels[start..].iter().position(|v| *v < 128).map_or(width, |n| n + start);
            parent.push(runs.len());
            runs.push(Run { row, start, end });
            column = end;
        }
        // Runs of the row above touch this row's where they overlap by a pixel or a corner.
        let mut from = above.start;
        for i in first..runs.len() {
            while from < above.end && runs[from].end < runs[i].start {
                from += 1;
            }
            for j in from..above.end {
                if runs[j].start > runs[i].end {
                    break;
                }
                let (a, b) = (root(&mut parent, i), root(&mut parent, j));
                parent[a.max(b)] = a.min(b);
            }
        }
        above = first..runs.len();
    }
    let mut components: Vec<Component> = Vec::new();
    let mut number = vec![usize::MAX; runs.len()];
    for (i, run) in runs.into_iter().enumerate() {
        let root = root(&mut parent, i);
        if number[root] == usize::MAX {
            number[root] = components.len();
            components.push(Component { runs: Vec::new() });
        }
        components[number[root]].runs.push(run);
    }
    components
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

impl Component {
    /// The coverage on a grid of `cols x rows` cells over the draw (which is not mirrored).
    pub fn coverage(&self, draw: &Draw, cols: usize, rows: usize, threshold: f32) -> Coverage {
        let rect = source(draw);
        let (across, down) = (rect.width / cols as f64, rect.height / rows as f64);
        let first = |v: f64| v.max(0.0) as usize;
        let (mut left, mut right, mut top, mut bottom) = (cols, 0, rows, 0);
        let bounds = |run: &Run| {
            let x = [(run.start as f64 - rect.left) / across, (run.end as f64 - rect.left) / across];
            let y = [(run.row as f64 - rect.top) / down, ((run.row + 1) as f64 - rect.top) / down];
            (x, y)
        };
        for run in &self.runs {
            let (x, y) = bounds(run);
            if x[1] > 0.0 && y[1] > 0.0 && x[0] < cols as f64 && y[0] < rows as f64 {
                left = left.min(first(x[0]));
                right = right.max((x[1].ceil() as usize).min(cols));
                top = top.min(first(y[0]));
                bottom = bottom.max((y[1].ceil() as usize).min(rows));
            }
        }
        if left >= right || top >= bottom {
            return Coverage::Cropped;
        }
        let mut cover = vec![0.0f64; (right - left) * (bottom - top)];
        for run in &self.runs {
            let (x, y) = bounds(run);
            for row in first(y[0]).max(top)..(y[1].ceil().max(0.0) as usize).min(bottom) {
                let tall = y[1].min((row + 1) as f64) - y[0].max(row as f64);
                for col in first(x[0]).max(left)..(x[1].ceil().max(0.0) as usize).min(right) {
                    let wide = x[1].min((col + 1) as f64) - x[0].max(col as f64);
                    cover[(row - top) * (right - left) + col - left] += tall.max(0.0) * wide.max(0.0);
                }
            }
        }
        match cover.iter().filter(|c| **c >= f64::from(threshold) - 1e-6).count() {
            0 => Coverage::Vanishes,
            cells => Coverage::Cells(cells),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{GeometrySpec, draw};

    fn mask(rows: &[&str]) -> (Vec<u8>, usize) {
        let bytes = rows.concat().bytes().map(|b| if b == b'#' { 255 } else { 0 }).collect();
        (bytes, rows[0].len())
    }

    #[test]
    fn components_join_over_corners_and_around_bends() {
        for (rows, expected) in [
            (vec!["....", "...."], 0),
            (vec!["#..#", "#..#"], 2),
            (vec!["#.#.", ".#.#"], 1),
            (vec!["#.#.#", "#.#.#", "#####"], 1),
            (vec!["#####", "#...#", "#.#.#", "#...#", "#####"], 2),
            (vec!["#..", "...", "#.#"], 3),
        ] {
            let (bytes, width) = mask(&rows);
            let found = components(&bytes, width);
            assert_eq!(found.len(), expected, "{rows:?}");
            let pixels: usize = found.iter().flat_map(|p| &p.runs).map(|r| r.end - r.start).sum();
            assert_eq!(pixels, bytes.iter().filter(|b| **b > 0).count());
        }
    }

    #[test]
    fn cells_vanish_and_crop_as_the_loader_has_it() {
        let mut bytes = vec![0u8; 64 * 32];
        for (x, y) in [(16, 0), (40, 20), (41, 20), (2, 2)] {
            bytes[y * 64 + x] = 255;
        }
        let spec = GeometrySpec { width: 32, height: 32, ..GeometrySpec::default() };
        let draw = draw(&spec, (64, 32), 0, 0, 0);
        let seen: Vec<Coverage> =
            components(&bytes, 64).iter().map(|p| p.coverage(&draw, 4, 4, 1.5 / 64.0)).collect();
        // The middle 32 of 64 columns are kept; one pixel of 64 is less than the threshold, two are more.
        assert_eq!(seen, [Coverage::Vanishes, Coverage::Cropped, Coverage::Cells(1)]);
    }
}
