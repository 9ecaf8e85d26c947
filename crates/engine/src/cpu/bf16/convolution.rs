//! Convolutions of stride 1: one product for each tap, with rows of A that lie elsewhere.
//!
//! The picture is rounded once, into one with the zeros of its border around it. There the pixels that a tap
//! reads for consecutive positions of a row are consecutive, too, so nothing is gathered: a group of rows of
//! A is 16 pixels from some place on. Winograd's F(4x4) needs a quarter of the products, but its transforms
//! lose more digits than bfloat16 has to lose.

use super::kernel::{Block, GROUP, Kernel, Line, SIDE, STEP, Sums, kernel};
use super::lines::Lines;
use super::panels::PairPanels;
use super::rounding::round_row;
use super::write::{Addend, bias_of, write_rows};
use crate::cpu::buffer::Pool;
use crate::cpu::operands::Target;
use crate::cpu::winograd::{Addends, Grid};
use rayon::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;

/// Most groups of a task: their pixels stay in the second-level cache.
const GROUPS: usize = 16;

/// True for convolutions that are computed here: of so few channels most of a tile would be zeros.
pub(in crate::cpu) fn suits(stride: usize, (inputs, outputs): (usize, usize)) -> bool {
    stride == 1 && inputs >= GROUP && outputs >= GROUP
}

/// Where the rounded picture's pixels and the positions of the result lie.
#[derive(Clone, Copy)]
struct Layout {
    out: (usize, usize),
    /// Height and width with the border.
    padded: (usize, usize),
    /// Lines from pixel to pixel.
    pixel: usize,
    /// Groups of a row of the result; none where groups run on from row to row, over the border, which is
    /// less waste in rows that are no multiple of 16 long.
    of_row: Option<usize>,
    /// Groups of a sample.
    of_sample: usize,
    /// Pixels beyond the last sample that a group may read.
    beyond: usize,
}

impl Layout {
    fn new(out: (usize, usize), kernel: (usize, usize), steps: usize) -> Self {
        let padded = (out.0 + kernel.0 - 1, out.1 + kernel.1 - 1);
        let of_row = out.1.div_ceil(GROUP);
        let of_row = (of_row * GROUP <= padded.1).then_some(of_row);
        let positions = (out.0 - 1) * padded.1 + out.1;
        let of_sample = of_row.map_or(positions.div_ceil(GROUP), |of_row| of_row * out.0);
        // An odd number of lines apart, pixels lie in different sets of the cache.
        Self { out, padded, pixel: steps | 1, of_row, of_sample, beyond: GROUP + kernel.1 }
    }

    /// Pixels of a sample.
    fn pixels(&self) -> usize {
        self.padded.0 * self.padded.1
    }

    /// Sample of a group, and its first pixel in that.
    fn first(&self, group: usize) -> (usize, usize) {
        let (sample, group) = (group / self.of_sample, group % self.of_sample);
        let pixel = match self.of_row {
            Some(of_row) => group / of_row * self.padded.1 + group % of_row * GROUP,
            None => group * GROUP,
        };
        (sample, pixel)
    }

    /// Runs of a group, from its first pixel, that are positions of the result: the pixels before each, its
    /// first position, its length.
    fn runs(&self, first: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let Self { out, padded, .. } = *self;
        let mut skipped = 0;
        std::iter::from_fn(move || {
            while skipped < GROUP {
                let (y, x) = ((first + skipped) / padded.1, (first + skipped) % padded.1);
                let left = GROUP - skipped;
                let before = skipped;
                skipped += left.min(padded.1 - x);
                if y < out.0 && x < out.1 {
                    return Some((before, y * out.1 + x, left.min(out.1 - x)));
                }
            }
            None
        })
    }
}

/// The convolution with a filter in panels, written to `y [N, H', W', O]`.
pub(in crate::cpu) fn convolve(
    pool: &Arc<Pool>,
    grid: Grid<'_>,
    kernel_size: (usize, usize),
    (panels, outputs): (&PairPanels, usize),
    y: &mut [f32],
    add: Addends<'_>,
) {
    assert_eq!(y.len(), grid.samples * grid.out.0 * grid.out.1 * outputs, "result of another size");
    let layout = Layout::new(grid.out, kernel_size, panels.depth().0);
    let picture = rounded(pool, grid, layout, panels.depth().0);
    let work = Convolution { layout, kernel_size, picture: &picture, panels, outputs, add };
    let threads = rayon::current_num_threads();
    let groups = grid.samples * layout.of_sample;
    let tasks = groups.div_ceil(GROUPS).next_multiple_of(threads);
    // A block is of two groups.
    let share = groups.div_ceil(tasks).next_multiple_of(2);
    let tasks = groups.div_ceil(share);
    // Few positions: the columns are divided among tasks as well.
    let column_tasks = threads.div_ceil(tasks).min(outputs.div_ceil(SIDE));
    let columns = outputs.div_ceil(column_tasks).next_multiple_of(SIDE);
    let target = Target::new(y, outputs);
    (0..tasks * outputs.div_ceil(columns)).into_par_iter().with_max_len(1).for_each(|task| {
        let (first, column) = (task % tasks * share, task / tasks * columns);
        let (last, end) = (groups.min(first + share), outputs.min(column + columns));
        // SAFETY: each task has its own groups, whose positions are no others', and columns of y.
        unsafe { work.groups(kernel(), first..last, column..end, &target) }
    });
}

/// The picture in bfloat16, with the zeros around it, and pixels beyond the last that a group may read.
fn rounded(pool: &Arc<Pool>, grid: Grid<'_>, layout: Layout, steps: usize) -> Lines {
    let mut picture = Lines::new(pool, (grid.samples * layout.pixels() + layout.beyond) * layout.pixel);
    let channels = grid.data.len() / (grid.samples * grid.height * grid.width).max(1);
    let inside = |at: usize, before: isize, size: usize| {
        let at = at as isize - before;
        (0..size as isize).contains(&at).then_some(at as usize)
    };
    let rows = picture.as_mut().par_chunks_mut(layout.padded.1 * layout.pixel).with_min_len(4).enumerate();
    rows.for_each(|(row, lines)| {
        let (sample, y) = (row / layout.padded.0, row % layout.padded.0);
        let y = inside(y, grid.top, grid.height).filter(|_| sample < grid.samples);
        for (x, lines) in lines.chunks_exact_mut(layout.pixel).enumerate() {
            let Some((y, x)) = y.zip(inside(x, grid.left, grid.width)) else {
                lines.fill(Line([0; STEP]));
                continue;
            };
            let from = ((sample * grid.height + y) * grid.width + x) * channels;
            round_row(&grid.data[from..from + channels], &mut lines[..steps]);
        }
    });
    picture
}

/// A convolution at work.
struct Convolution<'a> {
    layout: Layout,
    kernel_size: (usize, usize),
    picture: &'a [Line],
    panels: &'a PairPanels,
    outputs: usize,
    add: Addends<'a>,
}

impl Convolution<'_> {
    /// Computes some columns of some groups' positions.
    ///
    /// # Safety
    /// Nobody else may access these of the target, which holds the whole result.
    unsafe fn groups(
        &self,
        kernel: Kernel,
        groups: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
        target: &Target,
    ) {
        thread_local! {
            static SUMS: RefCell<Vec<Sums>> = const { RefCell::new(Vec::new()) };
        }
        SUMS.with_borrow_mut(|sums| {
            sums.resize(groups.len().div_ceil(2).max(sums.len()), Sums([[0.0; SIDE]; SIDE]));
            let _session = kernel.session();
            for column in columns.clone().step_by(SIDE) {
                let width = SIDE.min(columns.end - column);
                // SAFETY: of the caller's groups and columns, with its target.
                unsafe {
                    self.multiply(kernel, groups.clone(), (column, width), sums);
                    self.write(groups.clone(), (column, width), sums, target);
                }
            }
        });
    }

    /// Sums of all taps.
    ///
    /// # Safety
    /// The thread must be in a session of the kernel.
    unsafe fn multiply(
        &self,
        kernel: Kernel,
        groups: std::ops::Range<usize>,
        (column, width): (usize, usize),
        sums: &mut [Sums],
    ) {
        let layout = self.layout;
        let (steps, taps) = self.panels.depth();
        let panels = [column / GROUP, (column + width - 1) / GROUP].map(|index| self.panels.panel(index));
        let pixel = |group: usize| {
            let (sample, first) = layout.first(group);
            (sample * layout.pixels() + first) * layout.pixel
        };
        for tap in 0..taps {
            let (y, x) = (tap / self.kernel_size.1, tap % self.kernel_size.1);
            let offset = (y * layout.padded.1 + x) * layout.pixel;
            let b = panels.map(|panel| panel[tap * steps * GROUP..].as_ptr());
            for (first, sums) in groups.clone().step_by(2).zip(&mut *sums) {
                let count = (groups.end - first).min(2);
                let a =
                    [first, first + count - 1].map(|group| self.picture[pixel(group) + offset..].as_ptr());
                let work = Block {
                    a,
                    a_row: layout.pixel,
                    groups: count,
                    b: b[0],
                    // Both panels are of one allocation.
                    b_next: (b[1] as usize - b[0] as usize) / size_of::<Line>(),
                    panels: width.div_ceil(GROUP),
                    steps,
                    sums,
                    accumulate: tap > 0,
                };
                // SAFETY: 16 pixels from a group's first one on, moved by a tap, are in the picture or in
                // the pixels beyond it; the panels have these steps; the caller vouches for the session.
                unsafe { (kernel.block)(&work) }
            }
        }
    }

    /// Writes the sums that are positions of the result.
    ///
    /// # Safety
    /// Nobody else may access these of the target, which holds the whole result.
    unsafe fn write(
        &self,
        groups: std::ops::Range<usize>,
        (column, width): (usize, usize),
        sums: &[Sums],
        target: &Target,
    ) {
        let layout = self.layout;
        let bias = bias_of(self.add.bias.map(|bias| &bias[column..]), width);
        for (index, group) in groups.enumerate() {
            let (sample, first) = layout.first(group);
            let mut bias = bias;
            if let Some(shift) = self.add.shift {
                let shift = &shift[sample * self.outputs + column..][..width];
                bias.iter_mut().zip(shift).for_each(|(bias, shift)| *bias += shift);
            }
            for (skipped, position, count) in layout.runs(first) {
                let row = sample * layout.out.0 * layout.out.1 + position;
                let addend = match self.add.residual {
                    _ if self.add.accumulate => Addend::Itself,
                    Some(residual) => Addend::Rows(&residual[row * self.outputs + column..], self.outputs),
                    None => Addend::Nothing,
                };
                let rows = &sums[index / 2].0[index % 2 * GROUP + skipped..][..count];
                // SAFETY: the positions are the sample's, so their rows and columns lie in the target.
                unsafe { write_rows(rows, width, &target.at(row, column), &bias, addend) }
            }
        }
    }
}
