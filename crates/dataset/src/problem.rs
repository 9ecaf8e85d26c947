//! Problems as data: which line, which file, what is wrong with it and what to do.
//!
//! A first pass collects them all, so that a folder is repaired in one go instead of one crash at a time.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::layout::Origin;

/// The part of an item that a problem is about.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The recipe's values are wrong, whatever the files are.
    #[error("{0}")]
    Recipe(String),
    /// No such file or folder.
    #[error("there is no such file{0}")]
    Missing(String),
    /// The path leads out of the dataset's folder.
    #[error("{0}: every file must lie in the dataset's folder and be named relative to it")]
    Outside(String),
    /// The system could not read it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Not a picture that is read here, or a damaged one.
    #[error("{0}")]
    Undecodable(String),
    /// The file ends too early.
    #[error("the file is cut off ({0}): copy it again from its source")]
    Truncated(String),
    /// More pixels than `max_pixels`.
    #[error(
        "{width} x {height} pixels are more than the {limit} allowed: make it smaller or raise `max_pixels`"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit in pixels.
        limit: u64,
    },
    /// A mask or conditioning image is of another size than its picture, or a file has changed since.
    #[error(
        "is {} x {} pixels, but {} x {} are needed, the size of the picture{hint}",
        .found.0, .found.1, .expected.0, .expected.1
    )]
    Size {
        /// Its size.
        found: (u32, u32),
        /// The size that it must have.
        expected: (u32, u32),
        /// What may be the reason, or nothing.
        hint: String,
    },
    /// A mask with pixels that are neither black nor bright: most likely written as 0 and 1.
    #[error(
        "its brightest value is {brightest} of 255: a mask must be white (255) where the region is, all black where there is none"
    )]
    DarkMask {
        /// The brightest value found, at 8 bits.
        brightest: u8,
    },
    /// A region that no picture has.
    #[error("no picture has any of it{0}: is its name right? Where it is, leave its objective out")]
    NoRegion(String),
    /// The mask is to come from the alpha channel, and there is none.
    #[error(
        "has no alpha channel to take the mask from (where a picture has no such region, set \
         `missing_mask = \"absent\"`)"
    )]
    NoAlpha,
    /// A line that is not a JSON object in UTF-8.
    #[error("{0}")]
    Json(String),
    /// A column that is missing or holds something else than text.
    #[error("{0}")]
    Column(String),
    /// A caption that is missing or empty.
    #[error("{0}")]
    Caption(String),
    /// A text that is not UTF-8.
    #[error("is not UTF-8 text (byte {0}): save it as UTF-8")]
    Encoding(usize),
    /// Two files claim the same name.
    #[error("{0}")]
    Ambiguous(String),
}

/// One problem of a dataset: where it was listed, the file, and what is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The list and line that name the file; for layout `files`, or the dataset itself, `None`.
    pub origin: Option<Box<Origin>>,
    /// The name of the picture that it belongs to, where the reader knows it.
    pub item: Option<PathBuf>,
    /// The part concerned.
    pub subject: Subject,
    /// The file, relative to the dataset's folder where it lies in it. Empty if no file is concerned.
    pub file: PathBuf,
    /// What is wrong.
    pub fault: Fault,
}

impl Problem {
    /// A problem that no line of a list and no picture is known for.
    pub(crate) fn new(subject: Subject, file: impl Into<PathBuf>, fault: Fault) -> Self {
        Problem { origin: None, item: None, subject, file: file.into(), fault }
    }

    /// A problem of a line of a list.
    pub(crate) fn of_line(origin: &Origin, subject: Subject, fault: Fault) -> Self {
        Problem { origin: Some(Box::new(origin.clone())), ..Problem::new(subject, "", fault) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = false;
        if let Some(origin) = &self.origin {
            write!(f, "{origin}")?;
            before = true;
        }
        let subject = self.subject.to_string();
        let file = self.file.display().to_string();
        let about = [subject.as_str(), file.as_str()];
        let about: Vec<&str> = about.into_iter().filter(|s| !s.is_empty()).collect();
        if !about.is_empty() {
            if before {
                f.write_str(": ")?;
            }
            f.write_str(&about.join(" "))?;
            before = true;
        }
        if before {
            f.write_str(": ")?;
        }
        write!(f, "{}", self.fault)
    }
}

impl std::error::Error for Problem {}

/// How many problems [`Problems`] writes out; the rest is counted. All of them are in [`Problems::list`].
const SHOWN: usize = 1000;

/// Everything that is wrong with a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Problems {
    /// The dataset's path.
    pub dataset: PathBuf,
    /// At least one problem, in the order of the items.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.list.len();
        let noun = if n == 1 { "problem" } else { "problems" };
        write!(f, "{n} {noun} in the dataset {}:", self.dataset.display())?;
        for problem in self.list.iter().take(SHOWN) {
            write!(f, "\n  {problem}")?;
        }
        if n > SHOWN {
            write!(f, "\n  ... and {} more", n - SHOWN)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Why one item could not be loaded.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A file of the item is at fault.
    #[error(transparent)]
    File(#[from] Problem),
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
