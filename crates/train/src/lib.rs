//! Fair fine-tuning: objectives as data, one visible training loop, a run folder that can be resumed.
//!
//! - [`recipe::Recipe`] says what a run is; [`train::train`] does it. The loop is in one place and reads from
//!   top to bottom: data, gradients of all objectives, fair weights, one AdamW step, events, checkpoint.
//! - [`method`] has one file for each training method: what is trained, from which samples, and the files it
//!   leaves.
//! - [`objective`] holds the formulas: an [`objective::Objective`] is a trained region or the whole picture;
//!   its loss, and the cotangents that start its lanes of the backward pass. [`gradient`] runs the passes,
//!   [`aggregate`] makes one gradient of the objectives' gradients; they change nothing. [`group`] is the
//!   seam for several processes.
//! - [`data`] makes a step's batch as a function of (seed, step, slot); [`random`] is where all random
//!   numbers come from. No generator state exists, so [`checkpoint`]s hold none, and a resumed run has the
//!   same bits.
//! - [`events`] is the log of a run, [`recorded`] the file form of a single step, [`replay`] its repetition.
//!
//! ```
//! use fairhuman_train::recipe::Recipe;
//!
//! let recipe = Recipe::parse(
//!     "people.toml".as_ref(),
//!     r#"
//!     steps = 100
//!     model.path = "models/sdxl"
//!     dataset.path = "data/people"
//!     objective = [{ name = "global" }, { name = "hand", mask = "mask_hand" }]
//!     "#,
//! )?;
//! assert_eq!(recipe.objective[1].scale, 5.0); // the paper's setting for a region
//! assert_eq!(recipe.optimizer.learning_rate, 1e-4);
//! # Ok::<(), fairhuman_train::recipe::RecipeError>(())
//! ```
//!
//! It does not print, read a clock or the environment (both are passed in), or know what a face is.
#![deny(missing_docs)]

pub mod aggregate;
pub mod autoencoder;
pub mod average;
pub mod batch;
pub mod cache;
pub mod checkpoint;
pub mod controlled;
pub mod data;
pub mod denoising;
pub mod disk;
pub mod error;
pub mod evaluation;
pub mod events;
pub mod file_hashes;
pub mod fingerprint;
pub mod folder;
pub mod gradient;
pub mod group;
pub mod held_out;
pub mod memory;
pub mod method;
pub mod model;
pub mod module;
pub mod objective;
pub mod optimizer;
pub mod order;
pub mod previews;
pub mod problems;
pub mod random;
pub mod rate;
pub mod recipe;
pub mod record;
pub mod recorded;
pub mod replay;
pub mod requests;
pub mod sealed;
pub mod session;
pub mod size;
pub mod start;
pub mod step;
pub mod step_error;
mod step_event;
pub mod timing;
pub mod train;
