//! Tensors, and a tape whose one backward pass carries several objectives at once.
//!
//! Multi-objective training needs the gradient of every objective of one prediction. Here one backward pass
//! carries them together as [`Lanes`]: (objective, sample) pairs that have pixels. Weights are read once for
//! all lanes, checkpointed segments are recomputed once, and absent objectives cost nothing.
//!
//! ```
//! use fairhuman_engine::{Backend, Cpu, Lanes, Linear, ParamGrads, Params, Tape, Var, Weight};
//!
//! let cpu = Cpu::new(1).expect("a thread");
//! let mut params = Params::default();
//! let weight = Weight::Trained(params.add("weight", cpu.tensor(&[1, 2], &[0.5, -1.0])));
//! let layer = Linear { weight, bias: None, adapter: None, inputs: 2, outputs: 1 };
//! let x = Var::constant(cpu.tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]));
//!
//! let mut tape = Tape::new(&cpu, &params, false);
//! let y = tape.linear(&x, &layer, None);
//! // Two objectives: the first has both samples, the second only sample 1.
//! let lanes = Lanes::new(2, &[vec![0, 1], vec![1]]);
//! let cotangents = cpu.tensor(&[lanes.len(), 1], &[1.0, 1.0, 2.0]);
//! let mut grads = ParamGrads::new(&params, &lanes);
//! tape.backward(&y, cotangents, &lanes, &[], &mut grads);
//! assert_eq!(grads.gram(&cpu), [52.0, 72.0, 72.0, 100.0]);
//! ```
//!
//! - [`Backend`] is the list of operations; [`Cpu`] computes them fast in f32, [`Reference`] slowly and
//!   plainly in f64 (the oracle of the tests).
//! - [`Tape`] runs operations and records what their vector-Jacobian products need; [`Tape::checkpoint`]
//!   trades memory for recomputation, [`Tape::inference`] records nothing.
//! - [`Params`] holds the trained tensors, [`ParamGrads`] one gradient per objective, and from them the Gram
//!   matrix that fair weights are solved from.
//!
//! It does not read files or clocks, draw random numbers, or know any network.

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
pub use tape::{Tape, Var, Watcher};
pub use weight::{DType, WeightBytes, WeightData};
