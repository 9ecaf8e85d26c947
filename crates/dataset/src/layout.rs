//! Layouts are readers: each turns files as people have them into one common list of items.
//!
//! A reader only finds names and captions; that the files exist, lie inside the folder and fit each other is
//! checked afterwards for all layouts alike. A new layout is a new file here and a line in [`read`].

mod caption;
mod coco;
mod detect;
mod files;
mod imagefolder;
pub(crate) mod infer_regions;
mod kohya;
mod locator;
mod metadata;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
#[cfg(feature = "parquet")]
mod shards;
mod table;
mod whole_body;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use caption::{check as check_caption, first_line};
use fairhuman_files::json;
pub(crate) use files::unread as unread_folders;
pub(crate) use locator::Locator;

use crate::diagnostic::{Diagnostic, Diagnostics, Kind, Severity, Subject};
use crate::item::Item;
use crate::paths::unreadable;
use crate::source::MaskSource;
use crate::spec::{DatasetSpec, Layout, Region};

/// The message for a Parquet file in a build without its reader.
#[cfg(not(feature = "parquet"))]
pub(crate) const NO_PARQUET: &str =
    "this program was built without Parquet: build it with the feature `parquet`";

/// Samples of an epoch at most, all repeats counted: their order is kept in memory.
const MOST_IN_EPOCH: u64 = 20_000_000;

/// The result of reading a layout: items whose size is still (0, 0), and diagnostics about names and
/// captions.
pub(crate) struct Listing {
    /// The dataset's folder, canonical.
    pub root: PathBuf,
    /// The layout that was read.
    pub layout: Layout,
    pub items: Vec<Item>,
    /// Items with an error in `diagnostics`, whose other files can still be checked.
    pub broken: Vec<Item>,
    /// Errors, warnings and notes.
    pub diagnostics: Diagnostics,
    /// Files that belong to the dataset without being anyone's picture or mask: lists, captions.
    pub used: Vec<PathBuf>,
}

impl Listing {
    fn new(root: PathBuf, layout: Layout) -> Self {
        Listing {
            root,
            layout,
            items: Vec::new(),
            broken: Vec::new(),
            diagnostics: Diagnostics::default(),
            used: Vec::new(),
        }
    }

    /// Keeps a diagnostic about `subject`, which lies in `file`.
    fn report(&mut self, subject: Subject, file: impl Into<PathBuf>, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic.about(subject, file));
    }

    /// Keeps a warning about something that can be read, but was perhaps not meant so.
    fn warn(&mut self, file: impl Into<PathBuf>, text: String) {
        self.report(Subject::Dataset, file, Diagnostic::new(Kind::Doubtful, text));
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Error)
    }

    /// True if neither items nor errors were found.
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.errors().next().is_none()
    }

    /// Warns of masks that are their own pictures: a column or folder of pictures was named in place of one
    /// of masks, and what is bright would be the region.
    fn find_own_masks(&mut self, regions: &[Region]) {
        for (r, region) in regions.iter().enumerate() {
            let is_own = |item: &&Item| item.masks[r] == Some(MaskSource::Picture(item.source.clone()));
            let mut own = self.items.iter().chain(&self.broken).filter(is_own);
            let Some(first) = own.next() else { continue };
            let (first, more) = (first.image.clone(), own.count());
            let likewise = if more > 0 { format!("; likewise {more} more") } else { String::new() };
            let text =
                format!("is the picture itself, of which all that is bright would be the region{likewise}");
            self.report(Subject::Mask(region.name.clone()), first, Diagnostic::new(Kind::Doubtful, text));
        }
    }

    /// Names the regions that no picture has, unless an error explains it: a misspelt mask must not pass for
    /// absence. It is an error where masks are found by their names, and a warning where a list or
    /// annotations were asked for them.
    fn find_regions(&mut self, regions: &[Region]) {
        if self.items.is_empty() && self.broken.is_empty() {
            return;
        }
        let by_name = matches!(self.layout, Layout::Files | Layout::Kohya);
        for (r, region) in regions.iter().enumerate() {
            let subject = Subject::Mask(region.name.clone());
            let mut items = self.items.iter().chain(&self.broken);
            if items.all(|item| item.masks[r].is_none()) && !self.errors().any(|e| e.subject == subject) {
                let severity = if by_name { Severity::Error } else { Severity::Warning };
                self.report(subject, "", Diagnostic { severity, ..no_region("") });
            }
        }
    }
}

/// A region that no picture has; `why` begins with a space or is empty.
fn no_region(why: &str) -> Diagnostic {
    let text =
        format!("no picture has any of it{why}: is its name right? Where it is, leave its objective out");
    Diagnostic { severity: Severity::Error, ..Diagnostic::new(Kind::RegionEmpty, text) }
}

/// Reads the list of items of the dataset at `path`.
pub(crate) fn read(path: &Path, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Diagnostic> {
    let dataset = |error: Diagnostic| error.about(Subject::Dataset, path);
    let real = path.canonicalize().map_err(|e| {
        let hint = match path.to_string_lossy().contains('\\') {
            true => ": set `path` to the dataset's folder, with / between folders instead of \\",
            false => ": set `path` to the dataset's folder",
        };
        dataset(unreadable(&e).with_hint(hint))
    })?;
    let layout = match spec.layout {
        Layout::Auto => detect::layout(&real, spec).map_err(dataset)?,
        chosen => chosen,
    };
    let has_splits = match layout {
        Layout::ImageFolder => true,
        Layout::Parquet => real.is_dir(),
        _ => false,
    };
    let mut listing = match layout {
        Layout::Auto | Layout::Metadata => {
            let (list, root) = list_in(real, "metadata.jsonl");
            metadata::read(&list, root, spec, regions)?
        }
        Layout::Files if real.is_file() => {
            let text = "is a file: the layout `files` needs a folder";
            return Err(dataset(Diagnostic::new(Kind::Recipe, text)));
        }
        Layout::Files => files::read(real, spec, regions)?,
        Layout::Kohya => kohya::read(real, spec, regions)?,
        Layout::ImageFolder => imagefolder::read(real, spec, regions)?,
        #[cfg(feature = "parquet")]
        Layout::Parquet => parquet::read(real, spec, regions)?,
        #[cfg(not(feature = "parquet"))]
        Layout::Parquet => return Err(dataset(Diagnostic::new(Kind::Recipe, NO_PARQUET))),
        Layout::Coco => coco::read(real, spec, regions)?,
    };
    if !matches!(layout, Layout::Files | Layout::Kohya) {
        let captions = Arc::new(spec.captions.clone());
        let items = listing.items.iter_mut().chain(&mut listing.broken);
        items.for_each(|item| item.captions = captions.clone());
    }
    listing.layout = layout;
    if spec.split.is_some() && !has_splits {
        let layout = format!("{layout:?}").to_lowercase();
        let text = format!(
            "`split` is for the folders of Hugging Face datasets, and this one (layout `{layout}`) has no splits: leave \
             it out, since all of it is read"
        );
        listing.report(Subject::Dataset, "", Diagnostic::new(Kind::Recipe, text));
    }
    apply_folders(&mut listing, spec);
    listing.find_regions(regions);
    listing.find_own_masks(regions);
    Ok(listing)
}

/// The caption in a text file of the dataset; none if it has none, or none that is read.
pub(crate) fn caption_of_file(root: &Path, name: &Path, spec: &DatasetSpec) -> Option<String> {
    caption::read(root, name, spec).ok().map(|file| file.text)
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
    let epoch: u64 = listing.items.iter().map(|item| u64::from(item.repeats)).sum();
    if epoch > MOST_IN_EPOCH {
        let text =
            format!("an epoch has {epoch} samples: expected at most {MOST_IN_EPOCH}; lower the repeats");
        listing.report(Subject::Dataset, "", Diagnostic::new(Kind::Recipe, text));
    }
    for (folder, _) in spec.folders.iter().zip(seen).filter(|(_, seen)| !seen) {
        if !listing.errors().any(|e| e.file == folder.path) {
            let error = Diagnostic::new(Kind::Recipe, "in `folders` holds no picture of this dataset");
            listing.report(Subject::Dataset, &folder.path, error);
        }
    }
}
