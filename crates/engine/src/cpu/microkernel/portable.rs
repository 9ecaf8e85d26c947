//! The tile of C without intrinsics: arrays that the compiler keeps in vector registers (SSE2, NEON).

use super::tile::{NR, Tile};

/// Computes a tile in blocks of up to 6 rows x 16 columns.
///
/// # Safety
/// As for [`super::TileFn`].
pub(super) unsafe fn tile(rows: usize, t: &Tile) {
    let mut row = 0;
    while row < rows {
        let height = (rows - row).min(6);
        let mut column = 0;
        while column < t.columns {
            // SAFETY: `row + height <= rows` and `column + width <= columns`, so the block lies in a tile
            // that the caller vouches for.
            unsafe {
                let width = (t.columns - column).min(NR);
                match height {
                    6 => block::<6>(row, column, width, t),
                    5 => block::<5>(row, column, width, t),
                    4 => block::<4>(row, column, width, t),
                    3 => block::<3>(row, column, width, t),
                    2 => block::<2>(row, column, width, t),
                    _ => block::<1>(row, column, width, t),
                }
            }
            column += NR;
        }
        row += height;
    }
}

/// R rows and `width` (up to 16) columns of the tile, from `row` and `column` on.
///
/// # Safety
/// As for [`super::TileFn`]; the block lies in the tile.
#[inline(always)]
unsafe fn block<const R: usize>(row: usize, column: usize, width: usize, t: &Tile) {
    // SAFETY: every address is that of a row below `row + R`, a column below `column + width` and a k below
    // the depth, all in the tile; 16 values of B are read at once only where the block has 16 columns or
    // `b_whole` says that they can be.
    unsafe {
        let mut acc = [[0.0f32; 16]; R];
        if !t.bias.is_null() {
            for sums in &mut acc {
                for (j, sum) in sums.iter_mut().enumerate().take(width) {
                    *sum = *t.bias.add(column + j);
                }
            }
        }
        let a = t.a.wrapping_add(row * t.a_row);
        let b = t.b.wrapping_add(column / NR * t.b_next);
        for k in 0..t.depth {
            let source = b.add(k * t.b_row);
            let mut b = [0.0f32; 16];
            if width == 16 || t.b_whole {
                b = *(source as *const [f32; 16]);
            } else {
                std::ptr::copy_nonoverlapping(source, b.as_mut_ptr(), width);
            }
            for (i, sums) in acc.iter_mut().enumerate() {
                let v = *a.add(i * t.a_row + k * t.a_col);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += v * b;
                }
            }
        }
        for (i, sums) in acc.iter().enumerate() {
            let c = t.c.add((row + i) * t.c_row + column);
            for (j, &sum) in sums.iter().enumerate().take(width) {
                let add = if t.add.is_null() { 0.0 } else { *t.add.add((row + i) * t.add_row + column + j) };
                *c.add(j) = sum + add;
            }
        }
    }
}
