//! The transform of 3x3 filters: `U = G w Gᵀ`, from panels or straight from a file.

use super::grid::{FREQUENCIES, IN, plane};
use crate::WeightData;
use crate::cpu::buffer::{Buffer, Pool};
use crate::cpu::microkernel::NR;
use crate::cpu::operands::{Rhs, Target};
use crate::cpu::packing::pack_columns;
use crate::cpu::panels::Panels;
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::{SimdKernel, Vector, with_widest};
use rayon::prelude::*;
use std::sync::Arc;

/// A transformed filter U.
pub(in crate::cpu) struct Filter {
    pub(super) data: Buffer,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Values from one frequency to the next.
    plane: usize,
}

/// Source of a filter's taps.
pub(in crate::cpu) enum Taps<'a> {
    /// The panels of the plain product, `[9 * I][16]` each.
    Panels(&'a Panels),
    /// A weight in its file's layout, `[O, I, 3, 3]`.
    Stored(&'a WeightData),
    /// The same for the input gradient: `[I, O, 3, 3]`, and the taps in reverse order.
    Flipped(&'a WeightData),
}

impl Filter {
    /// Transforms all taps.
    pub fn new(pool: &Arc<Pool>, taps: Taps<'_>, (inputs, outputs): (usize, usize)) -> Self {
        let count = outputs.div_ceil(NR);
        let plane = plane(count * inputs * NR);
        let mut data = Buffer::new(pool, FREQUENCIES * plane);
        let u = Target::new(&mut data, NR);
        let rows = 32.min(inputs);
        let parts = inputs.div_ceil(rows);
        (0..count * parts).into_par_iter().for_each(|task| {
            let (panel, first) = (task / parts, task % parts * rows);
            let rows = rows.min(inputs - first);
            let u = u.at(panel * inputs + first, 0);
            let transform = |weight: &[f32], tap, input| {
                assert!(weight.len() >= (8 * tap + (rows - 1) * input + 1) * NR, "weight too small");
                // SAFETY: the weight's length was checked; each task writes its own rows of its own panel of
                // all planes.
                unsafe { with_widest(FilterRows { weight, tap, input, rows, plane, u: &u }) }
            };
            match taps {
                Taps::Panels(panels) => transform(&panels.panel(panel)[first * NR..], inputs, 1),
                _ => with_scratch(9 * rows * NR, |block| {
                    let lanes = (panel * NR, NR.min(outputs - panel * NR));
                    taps.read((first, rows), lanes, block);
                    transform(block, 1, 9);
                }),
            }
        });
        Self { data, inputs, outputs, plane }
    }

    /// U of one frequency, `[C, O]`.
    pub(super) fn frequency(&self, f: usize) -> Rhs<'_> {
        let data = &self.data[f * self.plane..(f + 1) * self.plane];
        Rhs::Panels { data, depth: self.inputs, start: 0 }
    }
}

impl Taps<'_> {
    /// `[rows, 9][16]` of a stored weight: some inputs of up to 16 outputs.
    fn read(&self, (first, rows): (usize, usize), (lane, lanes): (usize, usize), block: &mut [f32]) {
        match self {
            Taps::Panels(_) => unreachable!("panels are read as they are"),
            Taps::Stored(data) => {
                let inputs = data.shape()[1];
                pack_columns(9 * rows, lanes, block, |j, values| {
                    data.widen_into(9 * ((lane + j) * inputs + first), values);
                });
            }
            Taps::Flipped(data) => {
                let mut line = [0.0; 9 * NR];
                for (row, out) in block.chunks_exact_mut(9 * NR).enumerate() {
                    let from = 9 * ((first + row) * data.shape()[1] + lane);
                    data.widen_into(from, &mut line[..9 * lanes]);
                    for (tap, out) in out.chunks_exact_mut(NR).rev().enumerate() {
                        for (j, value) in out.iter_mut().enumerate() {
                            *value = line[9 * j + tap];
                        }
                    }
                }
            }
        }
    }
}

/// Transforms some rows (inputs) of one panel (16 outputs). To run it, the weight must hold all taps of the
/// rows, and U all frequencies of them, which no other thread may access.
struct FilterRows<'a> {
    weight: &'a [f32],
    /// Rows of the weight from tap to tap, and from input to input.
    tap: usize,
    input: usize,
    rows: usize,
    plane: usize,
    /// Destination of the first row of the first frequency.
    u: &'a Target,
}

impl SimdKernel for FilterRows<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for i in 0..self.rows {
            for lane in (0..NR).step_by(V::LANES) {
                // SAFETY: rows and lanes are those that this kernel was given; see its conditions.
                unsafe {
                    let tap = |y: usize, x: usize| {
                        let row = (3 * y + x) * self.tap + i * self.input;
                        V::load(self.weight.as_ptr().add(row * NR + lane), V::LANES)
                    };
                    // By columns (see `tiles::row`).
                    let half: [[V; IN]; 3] = [
                        filter_line([tap(0, 0), tap(1, 0), tap(2, 0)]),
                        filter_line([tap(0, 1), tap(1, 1), tap(2, 1)]),
                        filter_line([tap(0, 2), tap(1, 2), tap(2, 2)]),
                    ];
                    let [a, b, c] = &half;
                    let to = self.u.at(i, lane).c;
                    for y in 0..IN {
                        let line = filter_line([a[y], b[y], c[y]]);
                        for (x, value) in line.iter().enumerate() {
                            value.store(to.wrapping_add((y * IN + x) * self.plane), V::LANES);
                        }
                    }
                }
            }
        }
    }
}

/// G of a line of three taps.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn filter_line<V: Vector>([a, b, c]: [V; 3]) -> [V; IN] {
    // SAFETY: arithmetic alone; the caller has enabled the instruction set.
    unsafe {
        let zero = V::splat(0.0);
        let times = |v: V, factor: f32| v.mul_add(V::splat(factor), zero);
        let outer = times(a.add(c), -1.0 / 6.0);
        let (middle, near) = (times(b, 1.0 / 6.0), times(b, 1.0 / 12.0));
        let far = a.mul_add(V::splat(1.0 / 24.0), times(c, 1.0 / 6.0));
        [times(a, 0.25), outer.sub(middle), outer.add(middle), far.add(near), far.sub(near), c]
    }
}
