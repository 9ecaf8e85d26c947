//! Distances between sets of pictures by their features, one row of numbers for each picture: they say how a
//! distribution differs, and nothing about a single picture.

mod algebra;
mod diversity;
mod embedder;
mod features;
mod frechet;
mod kernel;
mod regions;

pub use diversity::diversity;
pub use embedder::{Embedder, SetFeatures, embed};
pub use features::KeptFeatures;
pub use frechet::frechet;
pub use kernel::{Kid, cmmd, kid};
pub use regions::{REGIONS, Regions, square};

/// Features of pictures, a row each, all of one length.
pub type Features = Vec<Vec<f32>>;
