//! Products whose operands are rounded to bfloat16 and whose sums are f32, for processors that multiply pairs
//! of bfloat16 much faster than f32: those with frozen weights, and those of attention. What goes in and
//! comes out is f32.
//!
//! - `kernel` computes a block of C, by AMX, by AVX512-BF16, or as these would where neither is there.
//! - `lines` holds bfloat16 in pooled memory, `rounding` makes it of f32, `panels` packs weights,
//!   `packed` other matrices.
//! - `product` is the linear layers', `convolution` that of filters.
//!
//! Trained values do not come here.

mod convolution;
mod kernel;
mod lines;
mod packed;
mod panels;
mod product;
mod rounding;
mod write;

pub(super) use convolution::{convolve, suits};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) use kernel::has_amx;
pub(crate) use kernel::rate;
pub(super) use packed::Packed;
pub(super) use panels::{Columns, PairPanels};
pub(super) use product::product_into;
