//! What the engine promises, as named theorems. Everything here is small and takes seconds.
//!
//! - [`agreement`]: `Cpu` computes what `Reference` computes, twice the same bits.
//! - [`finite_differences`]: every vector-Jacobian product, against central differences in f64.
//! - [`instructions`]: the agreement once more with the kernels for machines without AVX-512, and without AVX2.
//! - [`lanes`]: one pass with lanes is the separate passes; one combined pass is their combination.
//! - [`checkpoint`]: recomputing changes no bit.
//! - [`cost`]: what is frozen or absent is not computed.
//! - [`preparation`]: jobs that meet a new weight at the same time do not wait for each other.
//! - [`scopes`]: workers that are kept awake for a pass never keep it from ending.
//! - [`stored`]: weights read as they lie in a file give the bits of those prepared in advance.
//! - [`updates`]: Gram matrix, combination and AdamW against numbers worked out by hand.

mod agreement;
mod checkpoint;
mod common;
mod cost;
mod finite_differences;
mod instructions;
mod lanes;
mod net;
mod preparation;
mod scopes;
mod stored;
mod updates;
