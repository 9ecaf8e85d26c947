//! The reason why a file cannot be used as a picture.

use std::io::ErrorKind;

use image::ImageError;

/// The kind of a [`PictureError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Not a picture that is read here, or a damaged one.
    NotAPicture,
    /// The file ends too early.
    Truncated,
    /// More pixels than allowed.
    TooLarge,
    /// The system cannot read it.
    Unreadable,
}

/// A file that cannot be used, with the reason and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PictureError {
    /// The kind.
    pub problem: Problem,
    /// The reason, as the rest of a sentence that begins with the file's name.
    pub text: String,
}

impl PictureError {
    pub(crate) fn new(problem: Problem, text: impl Into<String>) -> Self {
        PictureError { problem, text: text.into() }
    }

    /// Damaged, or no picture.
    pub(crate) fn damaged(text: impl Into<String>) -> Self {
        PictureError::new(Problem::NotAPicture, text)
    }

    /// A file that ends too early.
    pub(crate) fn truncated(found: &str) -> Self {
        let text = format!("the file is cut off ({found}): copy it again from its source");
        PictureError::new(Problem::Truncated, text)
    }

    /// An error of a decoder.
    pub(crate) fn of_decoder(error: &ImageError) -> Self {
        match error {
            ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => {
                PictureError::truncated("its data end early")
            }
            ImageError::IoError(e) if e.kind() != ErrorKind::InvalidData => e.into(),
            _ => PictureError::damaged(format!("cannot be decoded: {error}")),
        }
    }
}

impl From<&std::io::Error> for PictureError {
    fn from(error: &std::io::Error) -> Self {
        PictureError::new(Problem::Unreadable, format!("cannot be read: {error}"))
    }
}

impl From<std::io::Error> for PictureError {
    fn from(error: std::io::Error) -> Self {
        (&error).into()
    }
}
