//! Tests of the training crate: one step, autoencoders, recipes, run folders.

mod autoencoder;
mod group;
mod recipe;
mod run_folder;
mod steps;
mod threads;
mod toy;
