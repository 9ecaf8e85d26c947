//! Matrix products: `C = A B (+ bias per column) (+ another matrix)`, cut into tiles and divided among
//! threads.
//!
//! Blocking: the depth is cut evenly, so that the part of B that a tile reads and its rows of A stay in the
//! first-level cache; a task takes a group of rows and runs through all its panels, so that its rows stay in
//! the second-level cache. Operands whose values would share few cache sets (rows a multiple of 4 KiB apart,
//! transposes, unpacked matrices) are packed first, where they are used often enough (`packing`). The number
//! of threads decides who computes a value, never its bits.

use super::bf16;
use super::microkernel::{MR, Microkernel, NR, Tile, WIDE, microkernel};
use super::operands::{Lhs, ProductEpilogue, Rhs, Size, Stored, Target};
use super::packing::{with_packed_lhs, with_packed_rhs};
use super::partition::{Partition, SEQUENTIAL};
use super::prefetch::Prefetch;
use rayon::prelude::*;

/// The product on the calling thread.
pub(super) fn product(
    a: Lhs<'_>,
    b: Rhs<'_>,
    size: Size,
    c: &mut [f32],
    c_row: usize,
    epilogue: ProductEpilogue<'_>,
) {
    assert!(size.m == 0 || c.len() >= (size.m - 1) * c_row + size.n, "C too small");
    // SAFETY: C is borrowed mutably for the whole product, and its length was checked.
    unsafe { product_into(a, b, size, &Target::new(c, c_row), epilogue) }
}

/// The product on the calling thread, into a part of C.
///
/// # Safety
/// `target` must be valid for `m` rows of `n` values, and no other thread may access them meanwhile.
pub(super) unsafe fn product_into(
    a: Lhs<'_>,
    b: Rhs<'_>,
    Size { m, k, n }: Size,
    target: &Target,
    epilogue: ProductEpilogue<'_>,
) {
    if m == 0 || n == 0 {
        return;
    }
    check_operands(a, b, Size { m, k, n }, &epilogue);
    // SAFETY: A, B and the epilogue were checked against the sizes; the caller vouches for C.
    unsafe {
        match b {
            Rhs::Pairs(columns) => bf16::product_into(a, columns, Size { m, k, n }, target, epilogue),
            _ => tiles(microkernel(), a, b, Size { m, k, n }, target, epilogue),
        }
    }
}

/// The product tile by tile.
///
/// # Safety
/// As for [`product_into`]; the other operands must have the sizes that [`check_operands`] checks.
unsafe fn tiles(
    microkernel: Microkernel,
    a: Lhs<'_>,
    b: Rhs<'_>,
    Size { m, k, n }: Size,
    target: &Target,
    epilogue: ProductEpilogue<'_>,
) {
    let depth = k.div_ceil(k.div_ceil(microkernel.depth).max(1)).next_multiple_of(NR);
    // Two panels at a time where they are short, so that there are fewer tiles, or where there are too few
    // rows to keep both multipliers busy with one.
    let width = if m < 4 || depth <= microkernel.depth / 2 { WIDE } else { microkernel.columns };
    let mut start = 0;
    loop {
        let depth = (k - start).min(depth);
        let first = start == 0;
        with_packed_lhs(a, m, start, depth, n > width, |a| {
            let block = b.block(width);
            for column in (0..n).step_by(block) {
                let near = (column, block.min(n - column));
                let steps = near.1.div_ceil(width) * m.div_ceil(MR);
                let next = match column + near.1 {
                    column if column < n => ((start, depth), (column, block.min(n - column))),
                    _ => ((start + depth, depth.min(k - start - depth)), (0, block.min(n))),
                };
                let mut prefetch = Prefetch::new(b, next.0, next.1, steps);
                with_packed_rhs(b, (start, depth), near, m, |packed_b| {
                    for offset in (0..near.1).step_by(width) {
                        let column = column + offset;
                        let columns = width.min(n - column);
                        let b = packed_b.data.wrapping_add(offset / NR * packed_b.next);
                        let bias = match epilogue.bias {
                            Some(bias) if first => bias[column..].as_ptr(),
                            _ => std::ptr::null(),
                        };
                        for row in (0..m).step_by(MR) {
                            let c = target.c.wrapping_add(row * target.c_row + column);
                            let (add, add_row) = match epilogue.add {
                                _ if !first || epilogue.accumulate => (c.cast_const(), target.c_row),
                                Some((data, distance)) => {
                                    (data[row * distance + column..].as_ptr(), distance)
                                }
                                None => (std::ptr::null(), 0),
                            };
                            let work = Tile {
                                a: a.data.wrapping_add(row * a.strip),
                                a_row: a.row,
                                a_col: a.col,
                                b,
                                b_row: packed_b.row,
                                b_next: packed_b.next,
                                b_whole: packed_b.whole,
                                depth,
                                columns,
                                c,
                                c_row: target.c_row,
                                bias,
                                add,
                                add_row,
                            };
                            // SAFETY: the tile's rows, columns and depth are within m, n and k, for which the
                            // caller vouches; packed operands hold as much as was asked for.
                            unsafe { (microkernel.tile)(MR.min(m - row), &work) }
                            prefetch.step();
                        }
                    }
                });
            }
        });
        start += depth;
        if start >= k {
            break;
        }
    }
}

fn check_operands(a: Lhs<'_>, b: Rhs<'_>, Size { m, k, n }: Size, epilogue: &ProductEpilogue<'_>) {
    if k > 0 {
        assert!(a.data.len() > (m - 1) * a.row + (k - 1) * a.col, "A too small");
        match b {
            Rhs::Panels { data, depth, start } => {
                assert!(start + k <= depth && data.len() >= n.next_multiple_of(NR) * depth, "B too small");
            }
            Rhs::Dense(data, row) => assert!(data.len() >= (k - 1) * row + n, "B too small"),
            Rhs::Stored(Stored { data, transposed, column }) => {
                let (rows, width) = (data.shape()[0], data.len() / data.shape()[0]);
                let (depth, columns) = if transposed { (width, rows) } else { (rows, width) };
                assert!(k <= depth && column + n <= columns, "B too small");
            }
            Rhs::Pairs(columns) => assert!(columns.hold(k, n), "B too small"),
        }
    }
    assert!(epilogue.bias.is_none_or(|b| b.len() >= n), "bias too small");
    assert!(epilogue.add.is_none_or(|(d, row)| d.len() >= (m - 1) * row + n), "addend too small");
}

/// A second product that is added to the first one by the same tasks, while their part of C is in the cache.
#[derive(Clone, Copy)]
pub(super) struct SecondProduct<'a> {
    pub a: Lhs<'a>,
    pub b: Rhs<'a>,
    pub k: usize,
}

/// The product on all threads of the current pool, or on this one alone if it is small.
pub(super) fn parallel_product(
    a: Lhs<'_>,
    b: Rhs<'_>,
    Size { m, k, n }: Size,
    c: &mut [f32],
    epilogue: ProductEpilogue<'_>,
    then: Option<SecondProduct<'_>>,
) {
    assert!(c.len() >= m * n, "C too small");
    let target = Target::new(c, n);
    let threads = if m * n * k < SEQUENTIAL { 1 } else { rayon::current_num_threads() };
    let partition = match b {
        Rhs::Pairs(_) => Partition::of_blocks(m, n, threads),
        _ => Partition::new(m, n, threads),
    };
    (0..partition.tasks()).into_par_iter().with_max_len(1).for_each(|task| {
        let row = task % partition.row_groups * partition.rows;
        let column = task / partition.row_groups * partition.columns;
        let size = Size { m: partition.rows.min(m - row), k, n: partition.columns.min(n - column) };
        let epilogue = ProductEpilogue {
            bias: epilogue.bias.map(|b| &b[column..]),
            add: epilogue.add.map(|(d, distance)| (&d[row * distance + column..], distance)),
            ..epilogue
        };
        let target = target.at(row, column);
        // SAFETY: blocks of a partition are disjoint and lie in C, whose length was checked.
        unsafe {
            product_into(a.below(row), b.right_of(column), size, &target, epilogue);
            if let Some(SecondProduct { a, b, k }) = then {
                let epilogue = ProductEpilogue { accumulate: true, ..ProductEpilogue::default() };
                let size = Size { k, ..size };
                product_into(a.below(row), b.right_of(column), size, &target, epilogue);
            }
        }
    });
}
