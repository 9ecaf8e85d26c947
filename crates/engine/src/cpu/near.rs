//! Copies of what a product is about to read often, next to each other: values that lie a power of two apart share few sets
//! of the cache and push each other out of it.

use super::kernel::{MR, NR, WIDE};
use super::product::{Columns, Rows};
use std::cell::RefCell;

/// Where tiles find A: `[i, k]` of the tile that starts at row `r` is at `data + r * strip + i * row + k * col`.
pub(super) struct Near {
    pub data: *const f32,
    pub strip: usize,
    pub row: usize,
    pub col: usize,
}

/// Calls `run` with rows that do not collide in the cache: those of a transpose that are met `again` by other columns as
/// strips `[depth][12]`, those whose distance is a multiple of 4 KiB next to each other, all others where they lie.
pub(super) fn with_near_rows(
    a: Rows<'_>,
    m: usize,
    start: usize,
    depth: usize,
    again: bool,
    run: impl FnOnce(Near),
) {
    thread_local! {
        static COPY: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    let turned = a.row == 1 && a.col > 1 && m > 4 && again;
    let collide = a.col == 1 && a.row.is_multiple_of(1024) && m > 4;
    if depth == 0 || !turned && !collide {
        let data = a.data.as_ptr().wrapping_add(start * a.col);
        return run(Near { data, strip: a.row, row: a.row, col: a.col });
    }
    COPY.with_borrow_mut(|copy| {
        if turned {
            copy.resize((m.next_multiple_of(MR) * depth).max(copy.len()), 0.0);
            for (strip, out) in copy.chunks_exact_mut(MR * depth).enumerate().take(m.div_ceil(MR)) {
                let rows = MR.min(m - strip * MR);
                for (k, out) in out.chunks_exact_mut(MR).enumerate() {
                    let from = (start + k) * a.col + strip * MR;
                    out[..rows].copy_from_slice(&a.data[from..from + rows]);
                }
            }
            return run(Near { data: copy.as_ptr(), strip: depth, row: 1, col: MR });
        }
        let distance = depth.next_multiple_of(16) + 16;
        copy.resize((m * distance).max(copy.len()), 0.0);
        for i in 0..m {
            let from = i * a.row + start;
            copy[i * distance..i * distance + depth].copy_from_slice(&a.data[from..from + depth]);
        }
        run(Near { data: copy.as_ptr(), strip: distance, row: distance, col: 1 });
    });
}

/// Rows that a matrix as it lies must meet for a copy of its columns to pay.
const MANY: usize = 2 * MR;

/// Calls `run` with the place of some columns of B, the distance of their rows, and that of the 17th column from the
/// first. Columns of a matrix as it lies share few sets of the cache, so those that many rows meet become a panel first.
pub(super) fn with_near_columns(
    b: Columns<'_>,
    (start, depth): (usize, usize),
    (column, columns): (usize, usize),
    m: usize,
    run: impl FnOnce((*const f32, usize, usize)),
) {
    thread_local! {
        static PANELS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    match b {
        Columns::Pairs { .. } => unreachable!("pairs come as panels"),
        Columns::Panels { data, depth: all, start: from } => {
            run((data[column * all + (from + start) * NR..].as_ptr(), NR, all * NR))
        }
        Columns::Dense(data, _) if depth == 0 => run((data.as_ptr(), 0, 0)),
        Columns::Dense(data, distance) if m < MANY || distance <= 2 * NR => {
            run((data[start * distance + column..].as_ptr(), distance, NR))
        }
        Columns::Dense(data, distance) => PANELS.with_borrow_mut(|panels| {
            panels.resize((WIDE * depth).max(panels.len()), 0.0);
            for (panel, out) in panels.chunks_exact_mut(NR * depth).enumerate().take(columns.div_ceil(NR)) {
                let width = NR.min(columns - panel * NR);
                for (k, out) in out.chunks_exact_mut(NR).enumerate() {
                    let from = (start + k) * distance + column + panel * NR;
                    out[..width].copy_from_slice(&data[from..from + width]);
                }
            }
            run((panels.as_ptr(), NR, NR * depth));
        }),
    }
}
