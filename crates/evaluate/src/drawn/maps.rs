//! From maps of what is where to parts and peaks.

use super::network::CELLS;

/// Cells that a part must have to count.
const LEAST: usize = 6;

/// A box of cells, the right and the lower end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cells {
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

/// Boxes of the connected parts of the cells above one half; cells that touch at a corner are apart.
pub(super) fn parts(map: &[f32]) -> Vec<Cells> {
    let mut inside: Vec<bool> = map.iter().map(|&v| v > 0.5).collect();
    let mut boxes = Vec::new();
    for first in 0..inside.len() {
        if !std::mem::take(&mut inside[first]) {
            continue;
        }
        let (mut stack, mut count) = (vec![first], 0);
        let mut found = Cells { left: CELLS, top: CELLS, right: 0, bottom: 0 };
        while let Some(cell) = stack.pop() {
            let (x, y) = (cell % CELLS, cell / CELLS);
            count += 1;
            found.left = found.left.min(x);
            found.top = found.top.min(y);
            found.right = found.right.max(x + 1);
            found.bottom = found.bottom.max(y + 1);
            let around = [
                (x > 0).then(|| cell - 1),
                (x + 1 < CELLS).then(|| cell + 1),
                (y > 0).then(|| cell - CELLS),
                (y + 1 < CELLS).then(|| cell + CELLS),
            ];
            for next in around.into_iter().flatten() {
                if std::mem::take(&mut inside[next]) {
                    stack.push(next);
                }
            }
        }
        if count >= LEAST {
            boxes.push(found);
        }
    }
    boxes
}

/// Values above one half that are the highest within two cells, the highest first.
pub(super) fn peaks(map: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..map.len()).filter(|&cell| map[cell] > 0.5).collect();
    order.sort_by(|&a, &b| map[b].total_cmp(&map[a]));
    let mut kept: Vec<usize> = Vec::new();
    for cell in order {
        let near = |&other: &usize| {
            (cell % CELLS).abs_diff(other % CELLS) <= 2 && (cell / CELLS).abs_diff(other / CELLS) <= 2
        };
        if !kept.iter().any(near) {
            kept.push(cell);
        }
    }
    kept.into_iter().map(|cell| map[cell]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_touches_and_peaks_are_apart() {
        let mut map = vec![0.0; CELLS * CELLS];
        for y in 3..6 {
            for x in 4..8 {
                map[y * CELLS + x] = 0.9;
            }
        }
        map[20 * CELLS + 20] = 0.8;
        assert_eq!(parts(&map), [Cells { left: 4, top: 3, right: 8, bottom: 6 }]);
        map[21 * CELLS + 21] = 0.7;
        map[20 * CELLS + 24] = 0.6;
        assert_eq!(
            peaks(&map[8 * CELLS..].iter().copied().chain(vec![0.0; 8 * CELLS]).collect::<Vec<_>>()),
            [0.8, 0.6]
        );
    }
}
