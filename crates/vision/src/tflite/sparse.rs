//! Expands sparse constants (DENSIFY): TensorFlow Lite's compressed, possibly blocked, tensors.
//!
//! A sparse tensor lists its levels from slow to fast (`traversal_order`). Level numbers below the
//! rank are outer dimensions, the others are blocks of an original dimension (`block_map`). A dense
//! level has a size; a compressed level has, per parent, a segment of indices (CSR). Non-zero values
//! follow in traversal order.

use super::flatbuffers::{OutOfFile, Table};

/// A sparse constant that cannot be expanded.
#[derive(Debug)]
pub enum SparseError {
    /// An offset is beyond the end of the file.
    Damaged(OutOfFile),
    /// The levels contradict the shape or the values.
    Layout(String),
}

impl From<OutOfFile> for SparseError {
    fn from(at: OutOfFile) -> Self {
        Self::Damaged(at)
    }
}

struct Level {
    /// Original dimension that the level indexes.
    dim: usize,
    /// Step of the level in that dimension.
    stride: usize,
    kind: Kind,
}

enum Kind {
    Dense(usize),
    Compressed { segments: Vec<usize>, indices: Vec<usize> },
}

/// Expands `packed` to the dense row-major values of `shape`.
pub fn densify(table: &Table, shape: &[usize], packed: &[f32]) -> Result<Vec<f32>, SparseError> {
    let levels = levels(table, shape)?;
    let mut dense = vec![0.0; shape.iter().product()];
    let mut walk = Walk { levels: &levels, shape, packed, next: 0, dense: &mut dense };
    walk.descend(0, 0, &mut vec![0; shape.len()])?;
    if walk.next != packed.len() {
        return Err(SparseError::Layout(format!(
            "its sparse layout uses {} of {} values",
            walk.next,
            packed.len()
        )));
    }
    Ok(dense)
}

fn levels(table: &Table, shape: &[usize]) -> Result<Vec<Level>, SparseError> {
    let rank = shape.len();
    let order = table.i32s(0)?;
    let blocks = table.i32s(1)?;
    let metadata = table.tables(2)?;
    if metadata.len() != order.len() || order.len() != rank + blocks.len() {
        return Err(SparseError::Layout(format!(
            "its sparse layout has {} levels for {rank} dimensions and {} blocks",
            order.len(),
            blocks.len()
        )));
    }
    let bad = || SparseError::Layout("its sparse layout names an unknown dimension".into());
    let mut block_size = vec![1; rank];
    let mut levels = Vec::new();
    for (&level, meta) in order.iter().zip(&metadata) {
        let level = usize::try_from(level).map_err(|_| bad())?;
        let is_block = level >= rank;
        let dim = if is_block {
            let dim = *blocks.get(level - rank).ok_or_else(bad)?;
            usize::try_from(dim).ok().filter(|&d| d < rank).ok_or_else(bad)?
        } else {
            level
        };
        let kind = if meta.i8(0)? == 0 {
            Kind::Dense(usize::try_from(meta.i32(1, 0)?).map_err(|_| bad())?)
        } else {
            Kind::Compressed { segments: indices(meta, 2)?, indices: indices(meta, 4)? }
        };
        if let (true, Kind::Dense(size)) = (is_block, &kind) {
            block_size[dim] = *size;
        }
        levels.push(Level { dim, stride: usize::from(is_block), kind });
    }
    // An outer step of a blocked dimension is a whole block.
    for level in &mut levels {
        if level.stride == 0 {
            level.stride = block_size[level.dim];
        }
    }
    Ok(levels)
}

/// A `SparseIndexVector` union: its kind in `slot`, its table in the next one.
fn indices(meta: &Table, slot: usize) -> Result<Vec<usize>, SparseError> {
    let Some(vector) = meta.table(slot + 1)? else {
        return Err(SparseError::Layout("its sparse layout lacks indices".into()));
    };
    Ok(match meta.i8(slot)? {
        1 => vector.i32s(0)?.iter().map(|&i| i.max(0) as usize).collect(),
        2 => {
            let (pairs, _) = vector.vector(0, 2)?.bytes(2).as_chunks::<2>();
            pairs.iter().map(|b| u16::from_le_bytes(*b).into()).collect()
        }
        3 => vector.bytes(0)?.iter().map(|&i| i.into()).collect(),
        other => {
            return Err(SparseError::Layout(format!("its sparse indices have the unknown kind {other}")));
        }
    })
}

struct Walk<'a> {
    levels: &'a [Level],
    shape: &'a [usize],
    packed: &'a [f32],
    next: usize,
    dense: &'a mut [f32],
}

impl Walk<'_> {
    /// Visits level `depth` below the parent number `parent`, with the position summed so far.
    fn descend(&mut self, depth: usize, parent: usize, at: &mut [usize]) -> Result<(), SparseError> {
        let levels = self.levels;
        let Some(level) = levels.get(depth) else {
            return self.place(at);
        };
        match &level.kind {
            Kind::Dense(size) => {
                for i in 0..*size {
                    at[level.dim] += i * level.stride;
                    self.descend(depth + 1, parent * size + i, at)?;
                    at[level.dim] -= i * level.stride;
                }
            }
            Kind::Compressed { segments, indices } => {
                let short = || SparseError::Layout("its sparse segments are cut off".into());
                let start = *segments.get(parent).ok_or_else(short)?;
                let end = *segments.get(parent + 1).ok_or_else(short)?;
                for child in start..end {
                    let i = *indices.get(child).ok_or_else(short)?;
                    at[level.dim] += i * level.stride;
                    self.descend(depth + 1, child, at)?;
                    at[level.dim] -= i * level.stride;
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, at: &[usize]) -> Result<(), SparseError> {
        let inside = at.iter().zip(self.shape).all(|(i, n)| i < n);
        let (true, Some(&value)) = (inside, self.packed.get(self.next)) else {
            return Err(SparseError::Layout("its sparse layout leaves the tensor".into()));
        };
        let flat = at.iter().zip(self.shape).fold(0, |sum, (i, n)| sum * n + i);
        self.dense[flat] = value;
        self.next += 1;
        Ok(())
    }
}
