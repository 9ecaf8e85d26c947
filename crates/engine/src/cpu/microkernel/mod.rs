//! The innermost loop of every product: a tile of C held in registers.
//!
//! ```text
//!        two panels of B, [k][16]     C tile: R rows x 32 columns (two 512-bit registers a row; R <= 12 uses
//!        ┌────┬────┐                  24 of the 32). Each k loads one row of both panels and broadcasts R
//!        │ b0 │ b1 │                  values of A. A is read through two strides, so that the same loop
//! A[R,k] └────┴────┘                  serves X, X^T and the neighbourhoods of a convolution.
//! ```
//! Every implementation sums a value over k in the same order for all tile heights, so results do not depend
//! on how rows are divided among threads.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod inner_loop;
mod portable;
mod tile;

#[cfg(target_arch = "x86_64")]
use super::features;
use std::sync::OnceLock;
pub(super) use tile::{MR, NR, Tile, TileFn, WIDE};

/// A tile function and its blocking.
#[derive(Clone, Copy)]
pub(super) struct Microkernel {
    pub tile: TileFn,
    /// Tile width for products with many rows and great depth.
    pub columns: usize,
    /// Largest depth of one pass: the part of B that a tile reads stays in the first-level cache for the next
    /// rows.
    pub depth: usize,
}

/// The microkernel for this machine, chosen once.
pub(super) fn microkernel() -> Microkernel {
    static CHOICE: OnceLock<Microkernel> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            if features::avx512() {
                return Microkernel { tile: avx512::tile, columns: WIDE, depth: 256 };
            }
            if features::avx2() {
                return Microkernel { tile: avx2::tile, columns: NR, depth: 256 };
            }
        }
        Microkernel { tile: portable::tile, columns: NR, depth: 256 }
    })
}
