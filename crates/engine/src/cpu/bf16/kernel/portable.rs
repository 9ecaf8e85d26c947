//! The block without intrinsics, with the roundings of the others: products of bfloat16 are exact in f32,
//! and sums are f32. For machines without the instructions, in tests alone: f32 is faster there.

use super::block::{Block, GROUP, SIDE};

/// Computes a block.
///
/// # Safety
/// As for [`super::BlockFn`].
pub(super) unsafe fn block(t: &Block) {
    let wide = |value: u16| f32::from_bits(u32::from(value) << 16);
    for row in 0..GROUP * t.groups {
        for panel in 0..t.panels {
            // SAFETY: the lines are those of a row, and of a panel, for which the caller vouches, as it does
            // for the result.
            unsafe {
                let a = t.a[row / GROUP].add(row % GROUP * t.a_row);
                let b = t.b.add(panel * t.b_next);
                let out = (&raw mut (*t.sums).0).cast::<f32>().add(row * SIDE + panel * GROUP);
                let out = &mut *out.cast::<[f32; GROUP]>();
                let mut sums = if t.accumulate { *out } else { [0.0; GROUP] };
                for step in 0..t.steps {
                    let a = &(*a.add(step)).0;
                    for pair in 0..GROUP {
                        let b = &(*b.add(GROUP * step + pair)).0;
                        for (j, sum) in sums.iter_mut().enumerate() {
                            *sum += wide(a[2 * pair]) * wide(b[2 * j]);
                            *sum += wide(a[2 * pair + 1]) * wide(b[2 * j + 1]);
                        }
                    }
                }
                *out = sums;
            }
        }
    }
}
