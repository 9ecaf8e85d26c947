//! Lines of bfloat16 in pooled memory, which is aligned for values of f32 alone.

use super::kernel::Line;
use crate::cpu::buffer::{Buffer, Pool};
use std::sync::Arc;

/// Values of f32 in the place of a line.
const CELLS: usize = size_of::<Line>() / size_of::<f32>();

/// Lines, each in a cache line of its own.
pub(super) struct Lines {
    data: Buffer,
    start: usize,
    len: usize,
}

impl Lines {
    /// So many lines, whose contents are whatever was there before.
    pub fn new(pool: &Arc<Pool>, len: usize) -> Self {
        let data = Buffer::new(pool, (len + 1) * CELLS);
        let start = data.as_ptr().align_offset(align_of::<Line>());
        Self { data, start, len }
    }

    pub fn as_mut(&mut self) -> &mut [Line] {
        bytemuck::cast_slice_mut(&mut self.data[self.start..self.start + self.len * CELLS])
    }
}

impl std::ops::Deref for Lines {
    type Target = [Line];
    fn deref(&self) -> &[Line] {
        bytemuck::cast_slice(&self.data[self.start..self.start + self.len * CELLS])
    }
}
