//! Layouts are readers: each turns files as people have them into one common list of items.
//!
//! A reader only finds names and captions; that the files exist, lie inside the folder and fit each other is
//! checked afterwards for all layouts alike. A new layout is a new file here and a line in [`read`].

mod files;
mod metadata;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::problem::{Fault, Problem, Subject};
use crate::spec::{DatasetSpec, Layout, Region};

/// Where an item was listed.
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

/// One picture with all that belongs to it. Paths are relative to [`Dataset::root`](crate::Dataset::root).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The line of the list that names it; `None` in the layout `files`.
    pub origin: Option<Origin>,
    /// The picture.
    pub image: PathBuf,
    /// The caption, without white space at its ends.
    pub caption: String,
    /// One entry per region, in the order given to [`Dataset::open`](crate::Dataset::open). `None` says that the
    /// picture has no such region: an empty string or `null` in the mask's column.
    pub masks: Vec<Option<PathBuf>>,
    /// The conditioning image, if the recipe names a source for them.
    pub conditioning: Option<PathBuf>,
    /// Width and height in pixels as shown, after the EXIF orientation.
    pub size: (u32, u32),
}

/// What a layout found: items whose size is still (0, 0), and what was wrong with names and captions.
pub(crate) struct Listing {
    /// The dataset's folder, canonical.
    pub root: PathBuf,
    pub items: Vec<Item>,
    pub problems: Vec<Problem>,
}

impl Listing {
    fn new(root: PathBuf) -> Self {
        Listing { root, items: Vec::new(), problems: Vec::new() }
    }
}

/// Reads the list of items of the dataset at `path`.
pub(crate) fn read(path: &Path, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Problem> {
    let dataset = |fault| Problem { origin: None, subject: Subject::Dataset, file: path.to_owned(), fault };
    let real = path.canonicalize().map_err(|e| {
        let fault = crate::paths::unreadable(&e);
        dataset(match fault {
            Fault::Missing(_) => Fault::Missing(": set `path` to the dataset's folder".into()),
            other => other,
        })
    })?;
    let list = |name: &str| (real.join(name), real.clone());
    let (list, root) = match (real.is_dir(), spec.layout) {
        (true, Layout::Files) => return files::read(real, spec, regions),
        (true, Layout::Metadata) => list("metadata.jsonl"),
        (true, Layout::Auto) if real.join("metadata.jsonl").exists() => list("metadata.jsonl"),
        (true, Layout::Auto) => return files::read(real, spec, regions),
        (false, Layout::Files) => {
            let text = "is a file: the layout `files` needs a folder".to_owned();
            return Err(dataset(Fault::Recipe(text)));
        }
        (false, _) => {
            let folder = real.parent().unwrap_or(Path::new("/")).to_owned();
            (real, folder)
        }
    };
    metadata::read(&list, root, spec, regions)
}

/// Checks and trims a caption.
fn caption(text: &str, spec: &DatasetSpec) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() && !spec.allow_empty_captions {
        return Err(Fault::Caption(
            "is empty: say what the picture shows, or set `allow_empty_captions = true`".into(),
        ));
    }
    Ok(text.to_owned())
}
