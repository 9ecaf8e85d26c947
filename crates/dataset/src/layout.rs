//! Layouts are readers: each turns files as people have them into one common list of items.
//!
//! A reader only finds names and captions; that the files exist, lie inside the folder and fit each other is
//! checked afterwards for all layouts alike. A new layout is a new file here and a line in [`read`].

mod body;
mod caption;
mod coco;
mod detect;
pub(crate) mod files;
pub(crate) mod guess;
mod imagefolder;
mod kohya;
mod metadata;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
pub(crate) mod place;
mod table;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::captions::CaptionSpec;
use crate::problem::{Fault, Problem, Subject};
use crate::source::{MaskSource, Source};
use crate::spec::{DatasetSpec, Layout, MissingMask, Region};

/// What is said where a Parquet file is met without its reader.
#[cfg(not(feature = "parquet"))]
pub(crate) const NO_PARQUET: &str =
    "this program was built without Parquet: build it with the feature `parquet`";

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
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The line of the list that names it; `None` where there is no list of lines.
    pub origin: Option<Origin>,
    /// The picture's name: its path, or for a cell of a table the table's path and the row.
    pub image: PathBuf,
    /// Where the picture is stored.
    pub source: Source,
    /// The caption as written, without white space at its ends. What a sample sees is
    /// [`Dataset::caption`](crate::Dataset::caption).
    pub caption: String,
    /// How the caption varies.
    pub captions: Arc<CaptionSpec>,
    /// One entry per region, in the order given to [`Dataset::open`](crate::Dataset::open). `None` says that the
    /// picture has no such region: an empty string or `null` in the mask's column.
    pub masks: Vec<Option<MaskSource>>,
    /// The conditioning image, if the recipe names a source for them.
    pub conditioning: Option<Source>,
    /// Width and height in pixels as shown, after the EXIF orientation.
    pub size: (u32, u32),
    /// How often it comes in an epoch, at least 1.
    pub repeats: u32,
    /// Multiplies its squared errors, in all objectives alike; 1 unless the recipe says otherwise.
    pub weight: f32,
}

impl Item {
    /// An item without masks, of unknown size.
    pub(crate) fn new(source: Source, caption: String) -> Item {
        Item {
            origin: None,
            image: source.name().to_owned(),
            source,
            caption,
            captions: Arc::default(),
            masks: Vec::new(),
            conditioning: None,
            size: (0, 0),
            repeats: 1,
            weight: 1.0,
        }
    }
}

/// What a layout found: items whose size is still (0, 0), and what was wrong with names and captions.
pub(crate) struct Listing {
    /// The dataset's folder, canonical.
    pub root: PathBuf,
    /// The layout that was read.
    pub layout: Layout,
    pub items: Vec<Item>,
    /// Items with a problem in `problems`, whose other files can still be looked at.
    pub broken: Vec<Item>,
    pub problems: Vec<Problem>,
    /// Files that belong to the dataset without being anyone's picture or mask: lists, captions.
    pub used: Vec<PathBuf>,
    /// What the reader passed over and a person should know.
    pub notes: Vec<String>,
    /// What it read otherwise than it may have been meant.
    pub doubts: Vec<Doubt>,
}

/// Something that can be read, but was perhaps not meant so.
pub(crate) struct Doubt {
    /// The file or folder.
    pub file: PathBuf,
    pub text: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file.as_os_str().is_empty() {
            true => f.write_str(&self.text),
            false => write!(f, "{}: {}", self.file.display(), self.text),
        }
    }
}

impl Listing {
    fn new(root: PathBuf, layout: Layout) -> Self {
        Listing {
            root,
            layout,
            items: Vec::new(),
            broken: Vec::new(),
            problems: Vec::new(),
            used: Vec::new(),
            notes: Vec::new(),
            doubts: Vec::new(),
        }
    }

    fn problem(&mut self, subject: Subject, file: impl Into<PathBuf>, fault: Fault) {
        self.problems.push(Problem::new(subject, file, fault));
    }

    fn doubt(&mut self, file: impl Into<PathBuf>, text: String) {
        self.doubts.push(Doubt { file: file.into(), text });
    }

    /// Names the regions that no picture has, unless a problem tells already why: a misspelt mask must not pass for
    /// absence. Lists and annotations were asked for their names already; there it may be so.
    fn find_regions(&mut self, regions: &[Region]) {
        let named = !matches!(self.layout, Layout::Files | Layout::Kohya);
        if self.items.is_empty() && self.broken.is_empty() {
            return;
        }
        for (r, region) in regions.iter().enumerate() {
            let subject = Subject::Mask(region.name.clone());
            let mut items = self.items.iter().chain(&self.broken);
            if items.all(|item| item.masks[r].is_none())
                && !self.problems.iter().any(|p| p.subject == subject)
            {
                let fault = Fault::NoRegion(String::new());
                if named {
                    self.doubt("", format!("{}: {fault}", region.name));
                } else {
                    self.problem(subject, "", fault);
                }
            }
        }
    }
}

/// Reads the list of items of the dataset at `path`.
pub(crate) fn read(path: &Path, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Problem> {
    let dataset = |fault| Problem::new(Subject::Dataset, path, fault);
    let real = path.canonicalize().map_err(|e| {
        let fault = crate::paths::unreadable(&e);
        dataset(match fault {
            Fault::Missing(_) => Fault::Missing(": set `path` to the dataset's folder".into()),
            other => other,
        })
    })?;
    let layout = match spec.layout {
        Layout::Auto => detect::layout(&real, spec).map_err(dataset)?,
        chosen => chosen,
    };
    let mut listing = match layout {
        Layout::Auto | Layout::Metadata => {
            let (list, root) = list_in(real, "metadata.jsonl");
            metadata::read(&list, root, spec, regions)?
        }
        Layout::Files if real.is_file() => {
            let text = "is a file: the layout `files` needs a folder".to_owned();
            return Err(dataset(Fault::Recipe(text)));
        }
        Layout::Files => files::read(real, spec, regions)?,
        Layout::Kohya => kohya::read(real, spec, regions)?,
        Layout::ImageFolder => imagefolder::read(real, spec, regions)?,
        #[cfg(feature = "parquet")]
        Layout::Parquet => parquet::read(real, spec, regions)?,
        #[cfg(not(feature = "parquet"))]
        Layout::Parquet => return Err(dataset(Fault::Recipe(NO_PARQUET.into()))),
        Layout::Coco => coco::read(real, spec, regions)?,
    };
    if !matches!(layout, Layout::Files | Layout::Kohya) {
        let captions = Arc::new(spec.captions.clone());
        let items = listing.items.iter_mut().chain(&mut listing.broken);
        items.for_each(|item| item.captions = captions.clone());
    }
    listing.layout = layout;
    apply_folders(&mut listing, spec);
    listing.find_regions(regions);
    Ok(listing)
}

/// The list and the dataset's folder, for a path to either.
fn list_in(path: PathBuf, name: &str) -> (PathBuf, PathBuf) {
    if path.is_dir() {
        return (path.join(name), path);
    }
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    (path, folder)
}

/// Gives items the repeats and weight of the folder that holds them.
fn apply_folders(listing: &mut Listing, spec: &DatasetSpec) {
    let mut seen = vec![false; spec.folders.len()];
    for item in listing.items.iter_mut().chain(&mut listing.broken) {
        let holds = |folder: &Path| item.image.starts_with(folder.strip_prefix(".").unwrap_or(folder));
        let folders = spec.folders.iter().enumerate().filter(|(_, f)| holds(&f.path));
        if let Some((i, folder)) = folders.max_by_key(|(_, f)| f.path.components().count()) {
            seen[i] = true;
            item.repeats = folder.repeats.unwrap_or(item.repeats);
            item.weight = folder.weight;
        }
    }
    for (folder, _) in spec.folders.iter().zip(seen).filter(|(_, seen)| !seen) {
        let text = "in `folders` holds no picture of this dataset".to_owned();
        if !listing.problems.iter().any(|p| p.file == folder.path) {
            listing.problem(Subject::Dataset, &folder.path, Fault::Recipe(text));
        }
    }
}

fn absent_is_fine(subject: &Subject, spec: &DatasetSpec) -> bool {
    matches!(subject, Subject::Mask(_)) && spec.missing_mask == MissingMask::Absent
}
