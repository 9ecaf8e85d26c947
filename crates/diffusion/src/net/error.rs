//! Why a network could not be read, called, adapted or written.

use std::path::PathBuf;

use crate::config_check::ConfigError;
use crate::tokenizer::TokenizerError;
use crate::weights::WeightError;

/// Why a network could not be read, called, adapted or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A LoRA file.
    #[error(transparent)]
    LoraFile(#[from] crate::lora_file::LoraFileError),
    /// The operating system refused a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A path that leads to no model folder, or one that must not be written to.
    #[error("{}: {problem}", path.display())]
    Folder {
        /// The path.
        path: PathBuf,
        /// Found, expected, and a remedy.
        problem: String,
    },
    /// An input of a forward pass does not fit the network.
    #[error("{model}: the input {input} {problem}")]
    Input {
        /// The network.
        model: &'static str,
        /// The input.
        input: &'static str,
        /// Expected and found.
        problem: String,
    },
    /// A LoRA does not fit the network.
    #[error("LoRA: {problem}")]
    Lora {
        /// Expected, found, and a remedy.
        problem: String,
    },
}

impl From<fairhuman_files::FileError> for ModelError {
    fn from(error: fairhuman_files::FileError) -> Self {
        Self::Io { path: error.path, source: error.source }
    }
}

impl ModelError {
    pub(crate) fn lora(problem: impl Into<String>) -> Self {
        Self::Lora { problem: problem.into() }
    }

    pub(crate) fn shape(model: &'static str, input: &'static str, found: &[usize], expected: &str) -> Self {
        Self::Input { model, input, problem: format!("has shape {found:?}, expected {expected}") }
    }
}
