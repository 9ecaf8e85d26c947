//! Packing: contiguous copies of the operands that a product reads often. Values a power of two apart share
//! few cache sets and evict each other.

use super::microkernel::{MR, NR, WIDE};
use super::operands::{Lhs, Rhs, Stored};
use multiversion::multiversion;
use std::cell::RefCell;

/// A as tiles read it: `[i, k]` of the tile that starts at row `r` is at
/// `data + r * strip + i * row + k * col`.
pub(super) struct PackedLhs {
    pub data: *const f32,
    pub strip: usize,
    pub row: usize,
    pub col: usize,
}

/// B as tiles read it: row `k` is at `data + k * row`, its 17th column `next` further on.
#[derive(Clone, Copy)]
pub(super) struct PackedRhs {
    pub data: *const f32,
    pub row: usize,
    pub next: usize,
    /// True if the last panel has 16 values to read, even where fewer columns are wanted.
    pub whole: bool,
}

impl PackedRhs {
    /// Panels `[depth][16]`, `next` values apart.
    fn panels(data: &[f32], next: usize) -> Self {
        Self { data: data.as_ptr(), row: NR, next, whole: true }
    }

    /// Rows of an unpacked matrix.
    fn rows(data: &[f32], distance: usize) -> Self {
        Self { data: data.as_ptr(), row: distance, next: NR, whole: false }
    }
}

/// Values that fit the first-level cache whatever their distances (20 KiB).
const SMALL: usize = 5 << 10;

/// Calls `run` with rows of A that do not collide in the cache: a transpose that will be read `again` by
/// other columns is copied to strips `[depth][12]`, rows a multiple of 4 KiB apart are copied next to each
/// other, others stay in place.
pub(super) fn with_packed_lhs(
    a: Lhs<'_>,
    m: usize,
    start: usize,
    depth: usize,
    again: bool,
    run: impl FnOnce(PackedLhs),
) {
    thread_local! {
        static COPY: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    // Narrow and small matrices do not collide.
    let far = a.col > 2 * NR && depth * a.col > SMALL;
    let transposed = a.row == 1 && far && m > 4 && again;
    let collide = a.col == 1 && a.row.is_multiple_of(1024) && m > 4;
    if depth == 0 || !transposed && !collide {
        let data = a.data.as_ptr().wrapping_add(start * a.col);
        return run(PackedLhs { data, strip: a.row, row: a.row, col: a.col });
    }
    COPY.with_borrow_mut(|copy| {
        if transposed {
            copy.resize((m.next_multiple_of(MR) * depth).max(copy.len()), 0.0);
            for (strip, out) in copy.chunks_exact_mut(MR * depth).enumerate().take(m.div_ceil(MR)) {
                let rows = MR.min(m - strip * MR);
                for (k, out) in out.as_chunks_mut::<MR>().0.iter_mut().enumerate() {
                    copy_part(out, &a.data[(start + k) * a.col + strip * MR..][..rows]);
                }
            }
            return run(PackedLhs { data: copy.as_ptr(), strip: depth, row: 1, col: MR });
        }
        let distance = depth.next_multiple_of(16) + 16;
        copy.resize((m * distance).max(copy.len()), 0.0);
        for i in 0..m {
            let from = i * a.row + start;
            copy[i * distance..i * distance + depth].copy_from_slice(&a.data[from..from + depth]);
        }
        run(PackedLhs { data: copy.as_ptr(), strip: distance, row: distance, col: 1 });
    });
}

/// Copies up to N values; all N, the usual case, without a call.
#[inline(always)]
fn copy_part<const N: usize>(to: &mut [f32; N], from: &[f32]) {
    match from.first_chunk::<N>() {
        Some(all) => *to = *all,
        None => to[..from.len()].copy_from_slice(from),
    }
}

/// Rows of A for which packing columns of an unpacked B pays.
const MANY: usize = 2 * MR;

/// Calls `run` with some columns of B. Columns of an unpacked matrix share few cache sets, so they are packed
/// first if many rows of A read them.
pub(super) fn with_packed_rhs(
    b: Rhs<'_>,
    (start, depth): (usize, usize),
    (column, columns): (usize, usize),
    m: usize,
    run: impl FnOnce(PackedRhs),
) {
    thread_local! {
        static PANELS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    match b {
        Rhs::Panels { data, depth: all, start: from } => {
            run(PackedRhs::panels(&data[column * all + (from + start) * NR..], all * NR))
        }
        Rhs::Dense(data, _) if depth == 0 => run(PackedRhs::rows(data, 0)),
        Rhs::Dense(data, distance) if m < MANY || distance <= 2 * NR || depth * distance <= SMALL => {
            run(PackedRhs::rows(&data[start * distance + column..], distance))
        }
        Rhs::Dense(data, distance) => PANELS.with_borrow_mut(|panels| {
            panels.resize((WIDE * depth).max(panels.len()), 0.0);
            for (panel, out) in panels.chunks_exact_mut(NR * depth).enumerate().take(columns.div_ceil(NR)) {
                let width = NR.min(columns - panel * NR);
                for (k, out) in out.as_chunks_mut::<NR>().0.iter_mut().enumerate() {
                    copy_part(out, &data[(start + k) * distance + column + panel * NR..][..width]);
                }
            }
            run(PackedRhs::panels(panels, NR * depth));
        }),
        Rhs::Stored(stored) => PANELS.with_borrow_mut(|panels| {
            panels.resize((columns.next_multiple_of(NR) * depth).max(panels.len()), 0.0);
            read_stored(stored, (start, depth), (column, columns), panels);
            run(PackedRhs::panels(panels, NR * depth));
        }),
        Rhs::Pairs(_) => unreachable!("products in bfloat16 have kernels of their own"),
    }
}

/// Panels `[depth][16]` of a part of a stored matrix.
fn read_stored(
    Stored { data, transposed, column: from }: Stored<'_>,
    (start, depth): (usize, usize),
    (column, columns): (usize, usize),
    panels: &mut [f32],
) {
    let width = data.len() / data.shape()[0];
    let column = from + column;
    if transposed {
        for (panel, out) in
            panels.chunks_exact_mut((NR * depth).max(1)).enumerate().take(columns.div_ceil(NR))
        {
            let first = column + panel * NR;
            pack_columns(depth, NR.min(columns - panel * NR), out, |j, values| {
                data.widen_into((first + j) * width + start, values);
            });
        }
        return;
    }
    let mut line = [0.0; 2 * WIDE];
    for k in 0..depth {
        data.widen_into((start + k) * width + column, &mut line[..columns]);
        for (panel, values) in line.chunks_exact(NR).enumerate().take(columns.div_ceil(NR)) {
            panels[(panel * depth + k) * NR..][..NR].copy_from_slice(values);
        }
    }
}

/// One panel `[k][16]` from up to 16 columns, each written by `column` and then transposed.
pub(super) fn pack_columns(k: usize, width: usize, out: &mut [f32], column: impl Fn(usize, &mut [f32])) {
    thread_local! {
        static LINES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    // Lines a power of two apart would share few cache sets.
    let distance = k.next_multiple_of(NR) + NR;
    LINES.with_borrow_mut(|lines| {
        lines.resize((NR * distance).max(lines.len()), 0.0);
        for (j, line) in lines.chunks_exact_mut(distance).take(NR).enumerate() {
            if j < width { column(j, &mut line[..k]) } else { line[..k].fill(0.0) }
        }
        transpose(lines, distance, &mut out[..k * NR]);
    });
}

/// `out [k][16]` from 16 lines `distance` apart.
#[multiversion(targets("x86_64+avx2+fma"))]
fn transpose(lines: &[f32], distance: usize, out: &mut [f32]) {
    let (blocks, rest) = out.as_chunks_mut::<{ 8 * NR }>();
    let whole = blocks.len() * 8;
    for (i, block) in blocks.iter_mut().enumerate() {
        for half in [0, 8] {
            let part: [&[f32; 8]; 8] = std::array::from_fn(|j| {
                let from = (half + j) * distance + 8 * i;
                lines[from..from + 8].first_chunk::<8>().expect("eight values")
            });
            for k in 0..8 {
                for j in 0..8 {
                    block[k * NR + half + j] = part[j][k];
                }
            }
        }
    }
    for (i, row) in rest.chunks_exact_mut(NR).enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value = lines[j * distance + whole + i];
        }
    }
}
