//! Matrix products: `C = A B (+ bias per column) (+ another matrix)`, cut into tiles and dealt to threads.
//!
//! Blocking: the depth is cut, as evenly as can be, so that what a tile reads of B and the rows of A it meets stay in
//! the first-level cache; a task takes a group of rows and runs through all its panels, so that its rows stay
//! in the second-level cache. What would fall on few cache sets (rows a multiple of 4 KiB apart, transposes, matrices as they
//! lie) is copied next to each other first, where enough is done with it. Nothing here depends on the number of threads but
//! who does what.

use super::buffer::{Buffer, Pool};
use super::kernel::{MR, Microkernel, NR, Tile, WIDE, microkernel};
use super::packing::{pack_columns, with_packed_lhs, with_packed_rhs};
use super::prefetch::Prefetch;
use crate::WeightData;
use rayon::prelude::*;
use std::sync::Arc;

/// A strided view of A: element `[i, k]` is `data[i * row + k * col]`.
#[derive(Clone, Copy)]
pub(super) struct Lhs<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

impl<'a> Lhs<'a> {
    /// `[m, k]`, row-major, rows `width` apart.
    pub fn dense(data: &'a [f32], width: usize) -> Self {
        Self { data, row: width, col: 1 }
    }

    /// The transpose of `[k, m]`, row-major.
    pub fn transposed(data: &'a [f32], width: usize) -> Self {
        Self { data, row: 1, col: width }
    }
}

/// B, `[k, n]`: as panels, or as it lies.
#[derive(Clone, Copy)]
pub(super) enum Rhs<'a> {
    /// `ceil(n / 16)` panels of `[depth][16]`, the last one filled up with zeros; B is rows
    /// `start .. start + k` of them.
    Panels { data: &'a [f32], depth: usize, start: usize },
    /// Row-major with rows `usize` apart.
    Dense(&'a [f32], usize),
    /// A frozen weight as it lies in its file.
    Stored(Stored<'a>),
}

/// Columns of a stored matrix `W`, from `column` on: those of W or, `transposed`, of its transpose.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    pub data: &'a WeightData,
    pub transposed: bool,
    pub column: usize,
}

/// What is added to the product.
#[derive(Clone, Copy, Default)]
pub(super) struct ProductEpilogue<'a> {
    /// Per column.
    pub bias: Option<&'a [f32]>,
    /// A matrix and its row distance.
    pub add: Option<(&'a [f32], usize)>,
    /// Add to what C holds; excludes `add`.
    pub accumulate: bool,
}

/// A product's sizes: `C [m, n] = A [m, k] B [k, n]`.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub m: usize,
    pub k: usize,
    pub n: usize,
}

/// The part of C that one call writes: rows `c_row` apart.
pub(super) struct Target {
    pub c: *mut f32,
    pub c_row: usize,
}

// SAFETY: users of a shared target write disjoint parts of C (each says how).
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    pub fn new(c: &mut [f32], c_row: usize) -> Self {
        Self { c: c.as_mut_ptr(), c_row }
    }

    /// The part that starts at a row and column.
    pub fn at(&self, row: usize, column: usize) -> Self {
        Self { c: self.c.wrapping_add(row * self.c_row + column), c_row: self.c_row }
    }
}

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
    // SAFETY: C is borrowed mutably for the whole product.
    unsafe { product_into(a, b, size, &Target::new(c, c_row), epilogue) }
}

/// The product on the calling thread, into a part of C.
///
/// # Safety
/// `target` must be valid for `m` rows of `n` values, and nobody else may touch them meanwhile.
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
    // SAFETY: the caller's promise.
    unsafe { tiles(microkernel(), a, b, Size { m, k, n }, target, epilogue) }
}

/// The product tile by tile.
unsafe fn tiles(
    microkernel: Microkernel,
    a: Lhs<'_>,
    b: Rhs<'_>,
    Size { m, k, n }: Size,
    target: &Target,
    epilogue: ProductEpilogue<'_>,
) {
    let depth = k.div_ceil(k.div_ceil(microkernel.depth).max(1)).next_multiple_of(NR);
    // Two panels at a time where they are short, to enter fewer tiles, or where there are too few rows to keep both
    // multipliers busy with one.
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
                            // SAFETY: operands were checked against the sizes above; C is the caller's promise.
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
        }
    }
    assert!(epilogue.bias.is_none_or(|b| b.len() >= n), "bias too small");
    assert!(epilogue.add.is_none_or(|(d, row)| d.len() >= (m - 1) * row + n), "addend too small");
}

/// How a product is dealt out: blocks of C, by rows and columns.
pub(super) struct Partition {
    pub rows: usize,
    pub row_groups: usize,
    pub columns: usize,
    pub column_groups: usize,
}

impl Partition {
    /// Rows of a task at most: what it reads of A stays in the second-level cache.
    const MOST_ROWS: usize = 192;

    /// Blocks of equal size, as many as threads or, where there is work enough, twice that: a thread that comes late leaves
    /// its second one to the others. Of all such cuts the one with the least to do and to read: a block of `r` rows and
    /// `c` columns does `r c` multiply-adds for each `r + c` values that come from far away, so long stripes are bad where
    /// threads are many.
    pub fn new(m: usize, n: usize, threads: usize) -> Self {
        let panels = n.div_ceil(WIDE).max(1);
        let tiles = m.div_ceil(MR) * panels;
        let turns = if tiles >= 16 * threads { 2 } else { 1 };
        let cut = |row_groups: usize, column_groups: usize| {
            let rows = m.div_ceil(row_groups).next_multiple_of(4).min(m).max(1);
            let columns = panels.div_ceil(column_groups) * WIDE;
            Self { rows, row_groups: m.div_ceil(rows), columns, column_groups: n.div_ceil(columns) }
        };
        let least = m.div_ceil(Self::MOST_ROWS).max(1);
        let most = least.next_multiple_of(turns * threads).min(m.div_ceil(4)).max(least);
        let mut best = cut(least, 1);
        if threads == 1 {
            return best;
        }
        for row_groups in least..=most {
            let column_groups = (turns * threads).div_ceil(row_groups).min(panels);
            let partition = cut(row_groups, column_groups);
            if partition.effort(threads) < best.effort(threads) {
                best = partition;
            }
        }
        best
    }

    /// What the busiest thread does, in multiply-adds per unit of depth. A value from far away costs as much as eight.
    fn effort(&self, threads: usize) -> usize {
        self.tasks().div_ceil(threads) * (self.rows * self.columns + 8 * (self.rows + self.columns))
    }

    pub fn tasks(&self) -> usize {
        self.row_groups * self.column_groups
    }
}

/// A second product that is added to the first, by the same tasks while their part of C is in the cache.
#[derive(Clone, Copy)]
pub(super) struct SecondProduct<'a> {
    pub a: Lhs<'a>,
    pub b: Rhs<'a>,
    pub k: usize,
}

impl<'a> Lhs<'a> {
    fn below(self, row: usize) -> Self {
        Self { data: self.data.get(row * self.row..).unwrap_or_default(), ..self }
    }
}

impl<'a> Rhs<'a> {
    /// How many columns are brought near at once, where tiles have `width`. What lies in a file is read by pieces of rows, so
    /// long pieces.
    fn block(self, width: usize) -> usize {
        if matches!(self, Self::Stored(_)) { 2 * WIDE } else { width }
    }

    /// B from a column on that is a multiple of 16.
    fn right_of(self, column: usize) -> Self {
        match self {
            Self::Panels { data, depth, start } => {
                Self::Panels { data: &data[column * depth..], depth, start }
            }
            Self::Dense(data, distance) => Self::Dense(data.get(column..).unwrap_or_default(), distance),
            Self::Stored(stored) => Self::Stored(Stored { column: stored.column + column, ..stored }),
        }
    }
}

/// Multiply-adds of a product, or values that are moved, which are done before another thread has woken up.
const SMALL: usize = 1 << 16;

/// The product on all threads of the current pool, or on this one alone where it is small.
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
    let threads = if m * n * k < SMALL { 1 } else { rayon::current_num_threads() };
    let partition = Partition::new(m, n, threads);
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
        // SAFETY: tasks write disjoint blocks of C.
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

/// B in panels, in a reused buffer.
pub(super) struct Panels {
    data: Buffer,
    depth: usize,
}

impl Panels {
    /// From columns of B: `column(n, values)` fills column `n`, all k at once.
    pub fn from_columns(
        pool: &Arc<Pool>,
        (k, n): (usize, usize),
        column: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let mut data = Buffer::new(pool, n.next_multiple_of(NR) * k);
        if k > 0 {
            let few = SMALL.div_ceil(NR * k);
            data.par_chunks_mut(NR * k).with_min_len(few).enumerate().for_each(|(panel, out)| {
                let width = NR.min(n - panel * NR);
                pack_columns(k, width, out, |j, values| column(panel * NR + j, values));
            });
        }
        Self { data, depth: k }
    }

    /// From rows of B: `rows(task, emit)` calls `emit(k, values)` for the rows of its task; together the
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
                    // SAFETY: row i of every panel is inside the buffer and belongs to this task alone.
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

    pub fn columns(&self) -> Rhs<'_> {
        self.rhs_from(0)
    }

    /// B without its first `start` rows.
    pub fn rhs_from(&self, start: usize) -> Rhs<'_> {
        Rhs::Panels { data: &self.data, depth: self.depth, start }
    }
}
