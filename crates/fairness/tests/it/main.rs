//! The tests of the fairness crate: theorems over shared matrices, for every weighting and for alpha-fair
//! ones, golden values, inputs, and random matrices.

mod alpha_fair;
mod common;
mod every;
mod golden;
mod input;
mod priorities;
mod random;
mod running;
mod state;
