//! The partition of a product's result among threads.

use super::microkernel::{MR, WIDE};

/// Work below which starting another thread costs more than it saves: multiply-adds of a product, or values
/// moved.
pub(super) const SEQUENTIAL: usize = 1 << 16;

/// Equal blocks of C, by rows and columns.
pub(super) struct Partition {
    pub rows: usize,
    pub row_groups: usize,
    pub columns: usize,
    pub column_groups: usize,
}

impl Partition {
    /// Most rows of a task: the part of A that it reads stays in the second-level cache.
    const MOST_ROWS: usize = 192;

    /// As many blocks as threads or, with enough work, twice as many: a thread that starts late leaves its
    /// second block to the others. Of all such partitions the one with the least work and memory traffic for
    /// the busiest thread: a block of `r` rows and `c` columns does `r c` multiply-adds for every `r + c`
    /// values from memory, so long strips are bad where threads are many.
    pub fn new(m: usize, n: usize, threads: usize) -> Self {
        Self::with_rows(m, n, threads, (4, Self::MOST_ROWS))
    }

    /// The same for products whose kernel computes blocks of 32 rows, of which more pass while a panel is in
    /// the cache.
    pub fn of_blocks(m: usize, n: usize, threads: usize) -> Self {
        Self::with_rows(m, n, threads, (32, 256))
    }

    /// With rows that are a multiple of one number and at most another.
    fn with_rows(m: usize, n: usize, threads: usize, (multiple, most_rows): (usize, usize)) -> Self {
        let panels = n.div_ceil(WIDE).max(1);
        let tiles = m.div_ceil(MR) * panels;
        let turns = if tiles >= 16 * threads { 2 } else { 1 };
        let cut = |row_groups: usize, column_groups: usize| {
            let rows = m.div_ceil(row_groups).next_multiple_of(multiple).min(m).max(1);
            let columns = panels.div_ceil(column_groups) * WIDE;
            Self { rows, row_groups: m.div_ceil(rows), columns, column_groups: n.div_ceil(columns) }
        };
        let least = m.div_ceil(most_rows).max(1);
        let most = least.next_multiple_of(turns * threads).min(m.div_ceil(multiple)).max(least);
        let mut best = cut(least, 1);
        if threads == 1 {
            return best;
        }
        for row_groups in least..=most {
            let column_groups = (turns * threads).div_ceil(row_groups).min(panels);
            let partition = cut(row_groups, column_groups);
            if partition.cost(threads) < best.cost(threads) {
                best = partition;
            }
        }
        best
    }

    /// Cost of the busiest thread, in multiply-adds per unit of depth. A value from memory costs as much as
    /// eight.
    fn cost(&self, threads: usize) -> usize {
        self.tasks().div_ceil(threads) * (self.rows * self.columns + 8 * (self.rows + self.columns))
    }

    /// Number of blocks.
    pub fn tasks(&self) -> usize {
        self.row_groups * self.column_groups
    }
}
