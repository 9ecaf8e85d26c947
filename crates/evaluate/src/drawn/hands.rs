//! The square around a hand, enlarged so that its fingers can be read.

use super::maps::Cells;
use super::network::{CROP, SIDE};

/// The gestures that the network for hands tells apart, in its order.
pub const GESTURES: [&str; 7] = ["open", "relaxed", "fist", "pointing", "thumb up", "peace", "three"];

/// The square around a box of cells of `picture [SIDE, SIDE, 3]`: `[CROP, CROP, 3]`, bilinear, edges
/// repeated.
pub(super) fn square(picture: &[f32], cells: Cells) -> Vec<f32> {
    let pixels = |cell: usize| 2.0 * cell as f32;
    let (left, right) = (pixels(cells.left), pixels(cells.right));
    let (top, bottom) = (pixels(cells.top), pixels(cells.bottom));
    let side = (right - left).max(bottom - top).max(10.0) * 1.25;
    // For each row or column of the result the first of the two that it lies between, and how far.
    let between = |middle: f32| -> Vec<(usize, f32)> {
        let place = |k: usize| {
            let at = middle + ((k as f32 + 0.5) / CROP as f32 - 0.5) * side - 0.5;
            let at = at.clamp(0.0, SIDE as f32 - 1.0);
            let first = (at as usize).min(SIDE - 2);
            (first, at - first as f32)
        };
        (0..CROP).map(place).collect()
    };
    let (columns, rows) = (between(0.5 * (left + right)), between(0.5 * (top + bottom)));
    let mut result = Vec::with_capacity(CROP * CROP * 3);
    for &(y, v) in &rows {
        for &(x, u) in &columns {
            for channel in 0..3 {
                let at = |x: usize, y: usize| picture[(y * SIDE + x) * 3 + channel];
                let line = |y: usize| at(x, y) * (1.0 - u) + at(x + 1, y) * u;
                result.push(line(y) * (1.0 - v) + line(y + 1) * v);
            }
        }
    }
    result
}
