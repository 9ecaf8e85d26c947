//! Matrices of f32 as B of a product in bfloat16, in panels of pairs: keys, values, probabilities.

use super::kernel::{GROUP, Line, STEP};
use super::lines::Lines;
use super::panels::Columns;
use super::rounding::{interleave, round};
use crate::cpu::buffer::Pool;
use crate::cpu::packing::pack_columns;
use std::sync::Arc;

/// B in panels of pairs, made by one task for itself.
pub(in crate::cpu) struct Packed {
    lines: Lines,
    steps: usize,
}

impl Packed {
    /// Room for `k` rows and `n` columns.
    pub fn new(pool: &Arc<Pool>, (k, n): (usize, usize)) -> Self {
        let steps = k.div_ceil(STEP);
        Self { lines: Lines::new(pool, n.div_ceil(GROUP) * steps * GROUP), steps }
    }

    /// Packs `n` columns, each of `k` contiguous values.
    pub fn from_columns<'a>(
        pool: &Arc<Pool>,
        (k, n): (usize, usize),
        column: impl Fn(usize) -> &'a [f32],
    ) -> Self {
        let mut packed = Self::new(pool, (k, n));
        let pairs = packed.steps * GROUP;
        for (panel, out) in packed.lines.as_mut().chunks_exact_mut(pairs.max(1)).enumerate() {
            let width = GROUP.min(n - panel * GROUP);
            // Pairs are moved as if they were values of f32; nobody computes with them.
            pack_columns(pairs, width, bytemuck::cast_slice_mut(out), |j, pairs| {
                round(&column(panel * GROUP + j)[..k], bytemuck::cast_slice_mut(pairs));
            });
        }
        packed
    }

    /// Packs `k` rows, each of `n` contiguous values.
    pub fn from_rows<'a>(pool: &Arc<Pool>, (k, n): (usize, usize), row: impl Fn(usize) -> &'a [f32]) -> Self {
        let mut packed = Self::new(pool, (k, n));
        packed.pack_rows((k, n), row);
        packed
    }

    /// The same in place of what was there, which had as many columns and no fewer rows.
    pub fn pack_rows<'a>(&mut self, (k, n): (usize, usize), row: impl Fn(usize) -> &'a [f32]) {
        self.steps = k.div_ceil(STEP);
        let zeros = if k % 2 == 1 { vec![0.0; n] } else { Vec::new() };
        let distance = self.steps * GROUP;
        let lines = self.lines.as_mut();
        for pair in 0..k.div_ceil(2) {
            let (even, odd) = (2 * pair, 2 * pair + 1);
            let odd = if odd < k { &row(odd)[..n] } else { &zeros };
            interleave(&row(even)[..n], odd, &mut lines[pair..], distance);
        }
        for pair in k.div_ceil(2)..distance {
            lines[pair..].iter_mut().step_by(distance).for_each(|line| *line = Line([0; STEP]));
        }
    }

    pub fn columns(&self) -> Columns<'_> {
        Columns { lines: &self.lines, steps: self.steps }
    }
}
