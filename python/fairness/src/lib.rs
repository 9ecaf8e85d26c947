//! The native half of the Python package `fairhuman_fairness`: functions without memory over lists and
//! dictionaries. Classes, memory from step to step and everything of PyTorch are in Python, beside this
//! crate.

mod input;
mod native;
