//! Tests of the training crate: one step, of both kinds, autoencoders, recipes, run folders, runs without
//! memory.

mod autoencoder;
mod every;
mod group;
mod keys;
mod out_of_memory;
mod read_ahead;
mod recipe;
mod run_folder;
mod steps;
mod threads;
mod toy;
