//! Errors, warnings and notes about a dataset, as one type.
//!
//! A first pass collects them all, so that a folder is repaired in one go instead of one crash at a time. A
//! function that reads a file returns a diagnostic without a place; its callers add the image, file and line.

mod collected;
mod kind;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use thiserror::Error;

pub(crate) use collected::Diagnostics;
pub use kind::{Kind, Severity};

/// The subject of a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "subject", content = "region", rename_all = "lowercase")]
pub enum Subject {
    /// The dataset as a whole: its folder, its list, the recipe.
    Dataset,
    /// One line of the list.
    Line,
    /// The picture.
    Picture,
    /// The caption.
    Caption,
    /// The mask of the region of this name.
    Mask(String),
    /// The conditioning image.
    Conditioning,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Dataset | Subject::Line => Ok(()),
            Subject::Picture => f.write_str("picture"),
            Subject::Caption => f.write_str("caption"),
            Subject::Mask(region) => write!(f, "mask of `{region}`"),
            Subject::Conditioning => f.write_str("conditioning image"),
        }
    }
}

/// The place where an item is listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The list's file name.
    pub list: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.list.display(), self.line)
    }
}

/// An error, a warning or a note about a dataset: its kind, what it is about, and the message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnostic {
    /// Its severity.
    pub severity: Severity,
    /// Its kind.
    pub kind: Kind,
    /// The item that it belongs to, as an index into [`Report::items`](crate::check::Report::items). Only a
    /// check sets it; `None` for the whole dataset.
    pub item: Option<usize>,
    /// The list and line that name the file, where there is a list of lines.
    #[serde(rename = "line", serialize_with = "line", skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
    /// Its subject.
    #[serde(flatten)]
    pub subject: Subject,
    /// The name of the picture that it belongs to, where it is known.
    #[serde(skip)]
    pub picture: Option<Box<Path>>,
    /// The file, relative to the dataset's folder where it lies in it. Empty if no file is concerned.
    pub file: PathBuf,
    /// The finding, and what to do about it.
    pub message: String,
}

fn line<S: Serializer>(origin: &Option<Box<Origin>>, serializer: S) -> Result<S::Ok, S::Error> {
    match origin {
        Some(origin) => serializer.collect_str(origin),
        None => serializer.serialize_none(),
    }
}

impl Diagnostic {
    /// A diagnostic about the dataset as a whole.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: kind.severity(),
            kind,
            item: None,
            origin: None,
            subject: Subject::Dataset,
            picture: None,
            file: PathBuf::new(),
            message: message.into(),
        }
    }

    /// No such file or folder; `hint` begins with what separates it from that statement.
    pub(crate) fn missing(hint: &str) -> Self {
        Diagnostic::new(Kind::Missing, format!("there is no such file{hint}"))
    }

    /// The same with `hint` at the end, if a file is missing.
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        if self.kind == Kind::Missing {
            self.message.push_str(hint);
        }
        self
    }

    /// The same about this file.
    pub(crate) fn in_file(self, file: impl Into<PathBuf>) -> Self {
        Diagnostic { file: file.into(), ..self }
    }

    /// The same about `subject`. A missing mask or caption has a kind of its own.
    pub(crate) fn on(self, subject: Subject) -> Self {
        let kind = match (self.kind, &subject) {
            (Kind::Missing, Subject::Mask(_)) => Kind::MaskMissing,
            (Kind::Missing, Subject::Caption) => Kind::CaptionMissing,
            (kind, _) => kind,
        };
        Diagnostic { subject, kind, ..self }
    }

    /// The same about `subject`, which lies in `file`.
    pub(crate) fn about(self, subject: Subject, file: impl Into<PathBuf>) -> Self {
        self.in_file(file).on(subject)
    }

    /// The same, where a line of a list names the file.
    pub(crate) fn in_line(self, origin: &Origin) -> Self {
        Diagnostic { origin: Some(Box::new(origin.clone())), ..self }
    }

    /// The same about the picture of this name, or something that belongs to it.
    pub(crate) fn of_picture(self, name: &Path) -> Self {
        Diagnostic { picture: Some(name.into()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        let (subject, file) = (self.subject.to_string(), self.file.display().to_string());
        let about: Vec<&str> = [subject.as_str(), &file].into_iter().filter(|s| !s.is_empty()).collect();
        if !about.is_empty() {
            write!(f, "{}: ", about.join(" "))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// Number of errors that [`Rejected`] prints; the rest is counted. More of them are in [`Rejected::errors`].
const SHOWN: usize = 1000;

/// A dataset that cannot be used, and all its errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// The dataset's path.
    pub dataset: PathBuf,
    /// At least one error, in the order of the items; at most 10,000 of a kind.
    pub errors: Vec<Diagnostic>,
    /// The number of all errors.
    pub count: usize,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.count;
        let noun = if n == 1 { "problem" } else { "problems" };
        write!(f, "{n} {noun} in the dataset {}:", self.dataset.display())?;
        for error in self.errors.iter().take(SHOWN) {
            write!(f, "\n  {error}")?;
        }
        let shown = self.errors.len().min(SHOWN);
        if n > shown {
            write!(f, "\n  ... and {} more", n - shown)?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}

impl Rejected {
    /// The dataset at this path with all its errors.
    pub(crate) fn new(dataset: PathBuf, errors: Diagnostics) -> Self {
        Rejected { dataset, count: errors.count(Severity::Error), errors: errors.into_kept() }
    }
}

/// Why one item could not be loaded.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A file of the item is at fault.
    #[error(transparent)]
    File(#[from] Diagnostic),
    /// A geometry that cannot be made, or does not belong to this item.
    #[error("{0}")]
    Geometry(String),
    /// No item has this number.
    #[error("there is no item {index}: the dataset has {len}")]
    Index {
        /// The number asked for.
        index: usize,
        /// The number of items.
        len: usize,
    },
}
