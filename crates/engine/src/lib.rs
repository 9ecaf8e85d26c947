//! Tensors, and a tape whose one backward pass carries several objectives at once.
//!
//! Multi-objective training needs the gradient of every objective of one prediction. Here one backward pass
//! carries them together as [`Lanes`]: (objective, sample) pairs that have pixels. Weights are read once for
//! all lanes, checkpointed segments are recomputed once, and what is absent costs nothing.
//!
//! - [`Backend`] is the list of operations; [`Cpu`] computes them fast in f32, [`Reference`] slowly and
//!   plainly in f64 (the oracle of the tests).
//! - [`Tape`] runs operations and records what their vector-Jacobian products need; [`Tape::checkpoint`]
//!   trades memory for recomputation.
//! - [`Params`] holds what is trained, [`ParamGrads`] one gradient per objective, and from them the Gram
//!   matrix that fair weights are solved from.
//!
//! What it does not do: read files or clocks, draw random numbers, know what a network is.

mod adamw;
mod backend;
mod cpu;
mod lanes;
mod layers;
pub mod observe;
mod out_of_memory;
mod params;
pub mod peak;
mod reference;
mod tape;
mod weight;

pub use adamw::{AdamW, AdamWState};
pub use backend::{
    Activation, Affine, AttentionSaved, Backend, ConvParams, Epilogue, LowRank, WeightLayout, WeightRef,
};
pub use cpu::{Cpu, CpuTensor, CpuWeight, Instructions, limit_instructions};
pub use lanes::Lanes;
pub use layers::{Adapter, Conv2d, ConvAdapter, Linear, Norm, PerChannel, Weight};
pub use out_of_memory::OutOfMemory;
pub use params::{Param, ParamGrads, ParamId, Params};
pub use reference::{Array, Reference};
pub use tape::{Tape, Var};
pub use weight::{DType, WeightBytes, WeightData};
