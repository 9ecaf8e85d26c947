//! Products of linear layers: rows of A are rounded by the task that multiplies them.

use super::kernel::{Block, GROUP, Line, SIDE, STEP, Sums, kernel};
use super::panels::Columns;
use super::rounding::round_row;
use super::write::{Addend, bias_of, write_rows};
use crate::cpu::operands::{Lhs, ProductEpilogue, Size, Target};
use std::cell::RefCell;

/// Most steps of depth whose rows of A are held at a time: those of a task fit the second-level cache.
const DEPTH: usize = 64;

/// The product on the calling thread, into a part of C. A's rows must be contiguous.
///
/// # Safety
/// `target` must be valid for `m` rows of `n` values, and no other thread may access them meanwhile. The
/// operands must have the sizes given.
pub(in crate::cpu) unsafe fn product_into(
    a: Lhs<'_>,
    b: Columns<'_>,
    Size { m, k, n }: Size,
    target: &Target,
    epilogue: ProductEpilogue<'_>,
) {
    thread_local! {
        static SCRATCH: RefCell<(Vec<Line>, Vec<Sums>)> = const { RefCell::new((Vec::new(), Vec::new())) };
    }
    assert!(a.col == 1 || k <= 1, "rows of A are contiguous");
    let kernel = kernel();
    let most = b.steps.div_ceil(b.steps.div_ceil(DEPTH).max(1));
    SCRATCH.with_borrow_mut(|(lines, sums)| {
        // An odd number of lines apart, rows lie in different sets of the cache.
        let row = most | 1;
        lines.resize((m.next_multiple_of(GROUP) * row).max(lines.len()), Line([0; STEP]));
        sums.resize(m.div_ceil(SIDE).max(sums.len()), Sums([[0.0; SIDE]; SIDE]));
        let mut start = 0;
        loop {
            let steps = most.min(b.steps - start);
            let (from, to) = (start * STEP, k.min((start + steps) * STEP));
            for (i, line) in lines.chunks_exact_mut(row).enumerate().take(m) {
                round_row(&a.data[i * a.row + from..i * a.row + to], &mut line[..steps]);
            }
            let session = kernel.session();
            for column in (0..n).step_by(SIDE) {
                let columns = SIDE.min(n - column);
                let panel = column / GROUP * GROUP * b.steps;
                for (index, sums) in sums.iter_mut().enumerate().take(m.div_ceil(SIDE)) {
                    let first = &raw const lines[index * SIDE * row];
                    let work = Block {
                        a: [first, first.wrapping_add(GROUP * row)],
                        a_row: row,
                        groups: (m - index * SIDE).div_ceil(GROUP).min(2),
                        b: b.lines.as_ptr().wrapping_add(panel + start * GROUP),
                        b_next: GROUP * b.steps,
                        panels: columns.div_ceil(GROUP),
                        steps,
                        sums,
                        accumulate: false,
                    };
                    // SAFETY: the groups' rows are among the lines, the panels among B's; the session is this
                    // thread's.
                    unsafe { (kernel.block)(&work) }
                }
                let bias = bias_of(epilogue.bias.filter(|_| start == 0).map(|bias| &bias[column..]), columns);
                for (index, sums) in sums.iter().enumerate().take(m.div_ceil(SIDE)) {
                    let first = index * SIDE;
                    let addend = match epilogue.add {
                        _ if start > 0 || epilogue.accumulate => Addend::Itself,
                        Some((data, distance)) => Addend::Rows(&data[first * distance + column..], distance),
                        None => Addend::Nothing,
                    };
                    let to = target.at(first, column);
                    // SAFETY: rows and columns of those for which the caller vouches.
                    unsafe { write_rows(&sums.0[..SIDE.min(m - first)], columns, &to, &bias, addend) }
                }
            }
            drop(session);
            start += steps;
            if start >= b.steps {
                break;
            }
        }
    });
}
