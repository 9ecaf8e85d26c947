//! Packed matrices B that are kept or used more than once.

use super::buffer::{Buffer, Pool};
use super::microkernel::NR;
use super::operands::{Rhs, Target};
use super::packing::pack_columns;
use super::partition::SEQUENTIAL;
use rayon::prelude::*;
use std::sync::Arc;

/// B in panels, in a pooled buffer.
pub(super) struct Panels {
    data: Buffer,
    depth: usize,
}

impl Panels {
    /// Packs columns of B: `column(n, values)` writes column `n`, all k at once.
    pub fn from_columns(
        pool: &Arc<Pool>,
        (k, n): (usize, usize),
        column: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let mut data = Buffer::new(pool, n.next_multiple_of(NR) * k);
        if k > 0 {
            let few = SEQUENTIAL.div_ceil(NR * k);
            data.par_chunks_mut(NR * k).with_min_len(few).enumerate().for_each(|(panel, out)| {
                let width = NR.min(n - panel * NR);
                pack_columns(k, width, out, |j, values| column(panel * NR + j, values));
            });
        }
        Self { data, depth: k }
    }

    /// Packs rows of B: `rows(task, emit)` calls `emit(k, values)` for the rows of its task; together the
    /// tasks emit every row once.
    pub fn from_rows(
        pool: &Arc<Pool>,
        (k, n): (usize, usize),
        tasks: usize,
        rows: impl Fn(usize, &mut dyn FnMut(usize, &[f32])) + Sync,
    ) -> Self {
        let mut data = Buffer::new(pool, n.next_multiple_of(NR) * k);
        let target = Target::new(&mut data, NR);
        (0..tasks).into_par_iter().with_min_len(8).for_each(|task| {
            rows(task, &mut |i, values| {
                assert!(i < k && values.len() == n, "row {i} of {k}, {} of {n} values", values.len());
                for (panel, values) in values.chunks(NR).enumerate() {
                    // SAFETY: `i < k` and there are `ceil(n / 16)` panels, so the row is inside the buffer;
                    // tasks emit different rows, so no other task has this one.
                    let out = unsafe { std::slice::from_raw_parts_mut(target.at(panel * k + i, 0).c, NR) };
                    out[..values.len()].copy_from_slice(values);
                    out[values.len()..].fill(0.0);
                }
            });
        });
        Self { data, depth: k }
    }

    /// One panel, `[k][16]`.
    pub fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.depth * NR..(index + 1) * self.depth * NR]
    }

    /// All of B.
    pub fn rhs(&self) -> Rhs<'_> {
        self.rhs_from(0)
    }

    /// B without its first `start` rows.
    pub fn rhs_from(&self, start: usize) -> Rhs<'_> {
        Rhs::Panels { data: &self.data, depth: self.depth, start }
    }
}
