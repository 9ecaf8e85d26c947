//! The tests of the fairness crate: theorems over shared matrices, inputs, and random matrices.

mod common;
mod input;
mod random;
mod theorems;
