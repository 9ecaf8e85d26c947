//! A backend of the engine on libtorch, which is opened at run time: on NVIDIA cards, and on the CPU.
//!
//! ```no_run
//! use fairhuman_engine::Backend;
//! use fairhuman_torch::{Device, Library, Precision, Torch};
//!
//! let library = Library::open("/usr/lib/python3/site-packages/torch/lib".as_ref())?;
//! let torch = Torch::new(library, Device::Cuda(0), Precision::Bf16)?;
//! let x = torch.tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
//! assert_eq!(torch.read(&torch.scale(&x, 2.0)), [2.0, 4.0, 6.0, 8.0]);
//! # Ok::<(), fairhuman_torch::LoadError>(())
//! ```
//!
//! Nothing of PyTorch or CUDA is needed to build this crate, and a program that uses it runs without them,
//! too. The layers, from below:
//!
//! - `abi`: libtorch's C interface, and all of this crate's `unsafe`;
//! - `schema`: operators' schemas, against which every call is checked;
//! - `operators`: one function for each operator, so that the order of its arguments is written once;
//! - `view`, [`Tensor`]: views of values, and values with their shape and count of bytes;
//! - `backend`: the engine's operations in terms of operators. Lanes are repeated by strides of 0 where there
//!   is one sample, and never copied for pointwise work where every objective sees every sample.
//!
//! It has no automatic differentiation: libtorch's is not used.
#![deny(missing_docs)]

mod abi;
mod backend;
mod device;
mod memory;
mod operators;
mod schema;
mod search;
mod tensor;
#[doc(hidden)]
pub mod testing;
mod view;

pub use abi::{Communicator, Library, LoadError, Nccl, UniqueId, Version};
pub use backend::{Attention, Torch};
pub use device::{Device, Precision};
pub use search::{NotFound, Places, find};
pub use tensor::Tensor;
