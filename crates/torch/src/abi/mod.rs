//! libtorch's C interface, and the only place of this crate with `unsafe`: function pointers (`symbols`),
//! tensor handles (`handle`), calls of operators by name (`call`), and NCCL (`nccl`). What leaves this module
//! is safe: handles are owned, views stay inside their tensors, and a call's arguments are checked against
//! the operator's schema first, because libtorch itself reads as many arguments as it wants from whatever it
//! is given.
//!
//! The interface is that of AOTInductor and of extensions built against "LibTorch Stable ABI": plain C, which
//! the declarations in `torch/csrc/stable/c/shim.h` and `torch/csrc/inductor/aoti_torch/c/shim.h` describe.
//! Functions used here are those of 2.11.

mod call;
mod cuda;
mod handle;
mod library;
mod nccl;
mod symbols;

pub(crate) use call::{Arg, Operator, Value, add, add_product, scale};
pub(crate) use handle::{Element, Handle, Type};
pub use library::{Library, LoadError, Version};
pub use nccl::{Communicator, Nccl, UniqueId};

/// File name of the library that is opened.
pub(crate) fn file_name() -> String {
    symbols::file_name("torch_cpu")
}
