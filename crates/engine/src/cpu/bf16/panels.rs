//! Frozen weights in panels of pairs: for every 16 columns of B and every tap, `[k / 2][16]` pairs of values
//! of consecutive k, filled up with zeros to whole steps of 32 values.

use super::kernel::{GROUP, Line, STEP};
use super::lines::Lines;
use super::rounding::stored_into;
use crate::WeightData;
use crate::cpu::buffer::Pool;
use crate::cpu::packing::pack_columns;
use rayon::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;

/// B in panels of pairs.
pub(in crate::cpu) struct PairPanels {
    lines: Lines,
    /// Steps of depth of a tap, and taps.
    steps: usize,
    taps: usize,
}

/// Columns of a matrix in panels of pairs.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Columns<'a> {
    pub(super) lines: &'a [Line],
    /// Steps of depth.
    pub(super) steps: usize,
}

impl<'a> Columns<'a> {
    /// Those from a column on, which must be a multiple of 16.
    pub fn right_of(self, column: usize) -> Self {
        Self { lines: self.lines.get(column * self.steps..).unwrap_or_default(), ..self }
    }

    /// True if there are `n` columns of depth `k`.
    pub fn hold(self, k: usize, n: usize) -> bool {
        self.steps == k.div_ceil(STEP) && self.lines.len() >= n.next_multiple_of(GROUP) * self.steps
    }
}

thread_local! {
    /// Rows of a stored weight.
    static ROWS: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
}

/// Runs with `len` values, zeros or what was there before. They are taken out of their place, since whoever
/// reads a weight's data may begin another job.
fn with_rows(len: usize, run: impl FnOnce(&mut [u16])) {
    let mut rows = ROWS.take();
    rows.resize(len.max(rows.len()), 0);
    run(&mut rows[..len]);
    ROWS.set(rows);
}

impl PairPanels {
    /// Of the forward product of a weight `[O, I, taps]`: B is `[taps * I, O]`.
    pub fn forward(pool: &Arc<Pool>, data: &WeightData, dims: (usize, usize, usize)) -> Self {
        let (outputs, inputs, taps) = dims;
        let (mut panels, per_tap) = Self::new(pool, (inputs, outputs), taps);
        let row = inputs * taps;
        let tasks = panels.lines.as_mut().par_chunks_mut((taps * per_tap).max(1)).enumerate();
        tasks.for_each(|(panel, out)| {
            let width = GROUP.min(outputs - panel * GROUP);
            with_rows(width * row, |rows| {
                stored_into(data, panel * GROUP * row, rows);
                for (tap, out) in out.chunks_exact_mut(per_tap.max(1)).enumerate() {
                    // Pairs are moved as if they were values of f32; nobody computes with them.
                    pack_columns(per_tap, width, bytemuck::cast_slice_mut(out), |j, pairs| {
                        let values: &mut [u16] = bytemuck::cast_slice_mut(pairs);
                        let (values, beyond) = values.split_at_mut(inputs);
                        let from = &rows[j * row..][..row];
                        if taps == 1 {
                            values.copy_from_slice(from);
                        } else {
                            for (value, taps) in values.iter_mut().zip(from.chunks_exact(taps)) {
                                *value = taps[tap];
                            }
                        }
                        beyond.fill(0);
                    });
                }
            });
        });
        panels
    }

    /// Of the input gradient of a weight `[O, I, taps]`: B is `[taps * O, I]`, the taps in reverse order.
    pub fn backward(pool: &Arc<Pool>, data: &WeightData, dims: (usize, usize, usize)) -> Self {
        /// Panels of a task, which reads pieces of rows.
        const TOGETHER: usize = 4;
        let (outputs, inputs, taps) = dims;
        let (mut panels, per_tap) = Self::new(pool, (outputs, inputs), taps);
        let panel = taps * per_tap;
        let tasks = panels.lines.as_mut().par_chunks_mut((TOGETHER * panel).max(1)).enumerate();
        tasks.for_each(|(task, out)| {
            let first = task * TOGETHER * GROUP;
            let width = (TOGETHER * GROUP).min(inputs - first);
            // Columns beyond the last stay zeros.
            let piece = TOGETHER * GROUP * taps;
            with_rows(2 * piece, |rows| {
                rows.fill(0);
                for pair in 0..per_tap {
                    for (i, row) in rows.chunks_exact_mut(piece).enumerate() {
                        let output = 2 * pair + i;
                        if output < outputs {
                            let start = (output * inputs + first) * taps;
                            stored_into(data, start, &mut row[..width * taps]);
                        } else {
                            row.fill(0);
                        }
                    }
                    let (even, odd) = rows.split_at(piece);
                    for (panel, out) in out.chunks_exact_mut(panel).enumerate() {
                        let (even, odd) = (&even[panel * GROUP * taps..], &odd[panel * GROUP * taps..]);
                        for (tap, out) in out.chunks_exact_mut(per_tap).enumerate() {
                            let tap = taps - 1 - tap;
                            let line = &mut out[pair].0;
                            for (j, pair) in line.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                                *pair = [even[j * taps + tap], odd[j * taps + tap]];
                            }
                        }
                    }
                }
            });
        });
        panels
    }

    /// Room for `taps` matrices `[k, n]`, and the lines of a tap in a panel.
    fn new(pool: &Arc<Pool>, (k, n): (usize, usize), taps: usize) -> (Self, usize) {
        let steps = k.div_ceil(STEP);
        let lines = Lines::new(pool, n.div_ceil(GROUP) * taps * steps * GROUP);
        (Self { lines, steps, taps }, steps * GROUP)
    }

    /// B of a matrix, which has one tap.
    pub fn columns(&self) -> Columns<'_> {
        assert_eq!(self.taps, 1, "a filter as a matrix");
        Columns { lines: &self.lines, steps: self.steps }
    }

    /// Lines of a panel, tap by tap.
    pub(super) fn panel(&self, index: usize) -> &[Line] {
        let len = self.taps * self.steps * GROUP;
        &self.lines[index * len..(index + 1) * len]
    }

    /// Steps of depth of a tap, and taps.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.steps, self.taps)
    }
}
