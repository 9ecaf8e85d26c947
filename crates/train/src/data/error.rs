//! Why the data of a run could not be prepared.

use std::path::PathBuf;

use fairhuman_dataset::{DatasetError, Rejected};
use fairhuman_diffusion::config_check::ConfigError;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::WeightError;

/// Why the data of a run could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The dataset's first pass: everything that is wrong.
    #[error(transparent)]
    Dataset(#[from] Rejected),
    /// One picture or mask.
    #[error(transparent)]
    Sample(#[from] DatasetError),
    /// The autoencoder or a text encoder.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A configuration file of the model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cache.
    #[error("cache: {0}")]
    Cache(#[from] WeightError),
    /// A model file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// Anything else, with what to do.
    #[error("{0}")]
    Problem(String),
}

/// Receives the progress of the preparation: its name, how much is done, of how much. An error ends it.
pub type Preparing<'a> = &'a mut dyn FnMut(&str, usize, usize) -> Result<(), DataError>;
