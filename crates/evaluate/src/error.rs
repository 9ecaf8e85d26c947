//! Why an evaluation could not be made.

use std::path::PathBuf;

use fairhuman_diffusion::net::ModelError;
use fairhuman_pictures::photo::PhotoError;

/// Why an evaluation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The system refused a file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A list of pictures or prompts that does not say what it should.
    #[error("{}, line {line}: {problem}", file.display())]
    List {
        /// The list.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Expected and found.
        problem: String,
    },
    /// A folder that cannot be evaluated.
    #[error("{}: {problem}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Expected and found.
        problem: String,
    },
    /// A picture that cannot be read.
    #[error(transparent)]
    Photo(#[from] PhotoError),
    /// A judge's network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Weights of a judge in a form that is not read.
    #[error("{}: {problem}", path.display())]
    Weights {
        /// The file or folder.
        path: PathBuf,
        /// Expected, found, and a remedy.
        problem: String,
    },
    /// A picture that a judge cannot score.
    #[error("{judge}: {picture} {problem}")]
    Judge {
        /// The judge.
        judge: &'static str,
        /// The picture.
        picture: String,
        /// The problem.
        problem: String,
    },
}

impl EvaluateError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
