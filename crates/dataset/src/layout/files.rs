//! The layout `files`: captions and masks are found by the picture's name.
//!
//! A name's stem is all of it before the *last* dot, so `a.1.png` and `a.2.png` are two names, `a.1` and
//! `a.2`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairhuman_pictures::names::{ORIGINALS, disguised};

use super::locator::Locator;
use super::{Listing, caption, kohya};
use crate::captions::CaptionSpec;
use crate::diagnostic::{Diagnostic, Kind, Subject};
use crate::foreign;
use crate::item::Item;
use crate::paths::inside;
use crate::picture_files::{COMPANION_ENDINGS, OTHER_PICTURES, entries, extension, is_picture, walk};
use crate::source::MaskSource;
use crate::spec::{DatasetSpec, Layout, MissingMask, Region};
use crate::spelling::{Folded, fold};

/// Folders below a dataset's are looked at to this depth.
const DEPTH_BELOW: usize = 2;

/// The advice where a picture has no caption.
const NO_CAPTION: &str =
    ": every picture needs a caption (one for all that have none: set `default_caption`)";

/// That advice for a folder with these files.
fn no_caption(names: &[PathBuf], other_captions: bool) -> String {
    let mut text = NO_CAPTION.to_owned();
    if other_captions {
        text.push_str("; there are .caption files: for them set `caption_extension = \"caption\"`");
    }
    let list = names.iter().find_map(|name| Some((name, foreign::list_by_name(name)?)));
    if let Some((name, what)) = list {
        text.push_str(&format!("; {} {what}", name.display()));
    }
    text
}

/// Warns of files beside pictures that people expect to be read: archives, and lists of another name.
fn note_foreign(listing: &mut Listing, folder: &Path, names: &[PathBuf]) {
    let is_list = |name: &Path| name.file_stem().is_some_and(|stem| fold(stem).starts_with("metadata"));
    for name in names.iter().filter(|name| is_list(name) || foreign::is_archive(name)) {
        if let Some(what) = foreign::by_name(name) {
            listing.warn(folder.join(name), what);
            listing.used.push(folder.join(name));
        }
    }
}

/// Settings for reading one folder of pictures.
pub(super) struct FolderRules {
    /// Of caption files, without the dot.
    pub caption_extension: String,
    /// For pictures without a caption.
    pub default_caption: Option<String>,
    /// Put before every caption, with a space between.
    pub prefix: String,
    /// Put after every caption, with a space between.
    pub suffix: String,
    /// The folder that the mask source `"conditioning"` stands for, relative to the dataset's folder.
    pub conditioning: Option<PathBuf>,
    /// Repeats of the pictures in an epoch.
    pub repeats: u32,
    /// Variation of their captions.
    pub captions: Arc<CaptionSpec>,
}

impl FolderRules {
    /// The recipe's settings.
    pub fn new(spec: &DatasetSpec) -> Self {
        FolderRules {
            caption_extension: spec.caption_extension.trim_start_matches('.').to_owned(),
            default_caption: spec.default_caption.clone(),
            prefix: String::new(),
            suffix: String::new(),
            conditioning: None,
            repeats: 1,
            captions: Arc::new(spec.captions.clone()),
        }
    }
}

/// Reads the pictures in the folder `root`, or in those of its folders that the recipe names.
pub(super) fn read(root: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Diagnostic> {
    let mut listing = Listing::new(root, Layout::Files);
    let rules = FolderRules::new(spec);
    if spec.folders.is_empty() {
        add_folder(&mut listing, Path::new(""), &rules, spec, regions);
    }
    for folder in &spec.folders {
        let path = folder.path.strip_prefix(".").unwrap_or(&folder.path);
        add_folder(&mut listing, path, &rules, spec, regions);
    }
    if listing.is_empty() {
        let mut text = "holds neither a metadata.jsonl nor pictures (.png, .jpg, .jpeg, .webp)".to_owned();
        let names = entries(&listing.root).unwrap_or_default();
        for (name, what) in names.iter().filter_map(|name| Some((name, foreign::by_name(name)?))).take(3) {
            text.push_str(&format!("; {} {what}", name.display()));
        }
        if let Some(below) = named(below(&listing.root).into_iter()) {
            text.push_str(&format!("; there are some in {below}: set `path` to it, or name it in `folders`"));
        }
        return Err(Diagnostic::new(Kind::Recipe, text).about(Subject::Dataset, listing.root));
    }
    Ok(listing)
}

/// The folders below a dataset's that could be read as one; of kohya's folders `10_name` the one above.
fn below(root: &Path) -> BTreeSet<PathBuf> {
    let mut files = Vec::new();
    walk(root, Path::new(""), DEPTH_BELOW, &mut files);
    let is_read = |file: &&PathBuf| {
        let extension = extension(file).unwrap_or_default();
        is_picture(&extension) || extension == "parquet"
    };
    let folder = |file: &PathBuf| {
        let own = file.parent()?;
        let above = own.parent().filter(|_| kohya::is_numbered(own))?;
        Some(if above.as_os_str().is_empty() { own } else { above }.to_owned())
    };
    let own = |file: &PathBuf| file.parent().map(Path::to_owned);
    let folders = files.iter().filter(is_read).filter_map(|file| folder(file).or_else(|| own(file)));
    // Where the recipe names folders, pictures may lie in the dataset's own.
    folders.filter(|folder| !folder.as_os_str().is_empty()).collect()
}

/// Warns of folders with pictures that are not read, because pictures lie above them, too.
pub(crate) fn unread(root: &Path, items: &[Item]) -> Vec<Diagnostic> {
    let mut files = Vec::new();
    walk(root, Path::new(""), DEPTH_BELOW, &mut files);
    // Masks and control images are called like their pictures, whether or not they are asked for.
    let stems: HashSet<String> = items.iter().filter_map(|item| item.image.file_stem()).map(fold).collect();
    let masks = items.iter().flat_map(|item| &item.masks).flatten().filter_map(MaskSource::path);
    let controls = items.iter().filter_map(|item| Some(item.conditioning.as_ref()?.file()));
    let used: HashSet<&Path> = masks.chain(controls).filter_map(Path::parent).collect();
    let is_unread = |file: &&PathBuf| {
        extension(file).is_some_and(|e| is_picture(&e))
            && file.file_stem().is_some_and(|stem| !stems.contains(&fold(stem)))
            && file.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !used.contains(folder))
    };
    let mut folders: BTreeMap<&Path, usize> = BTreeMap::new();
    for folder in files.iter().filter(is_unread).filter_map(|file| file.parent()) {
        *folders.entry(folder).or_insert(0) += 1;
    }
    let count: usize = folders.values().sum();
    let Some(names) = named(folders.into_keys().map(Path::to_owned)) else { return Vec::new() };
    let pictures = if count == 1 { "1 picture is" } else { &format!("{count} pictures are") };
    let text = format!("{pictures} not read, in {names}: name the folders in `folders`");
    vec![Diagnostic::new(Kind::Doubtful, text).about(Subject::Dataset, "")]
}

/// The first of some folders, and how many more there are.
fn named(mut folders: impl Iterator<Item = PathBuf>) -> Option<String> {
    let first = folders.next()?;
    Some(match folders.count() {
        0 => first.display().to_string(),
        more => format!("{} and {more} more", first.display()),
    })
}

/// Adds the pictures in `folder`, which is relative to the dataset's.
pub(super) fn add_folder(
    listing: &mut Listing,
    folder: &Path,
    rules: &FolderRules,
    spec: &DatasetSpec,
    regions: &[Region],
) {
    let mut locators = Vec::new();
    for (name, subject) in regions
        .iter()
        .map(|r| (r.mask.as_str(), Subject::Mask(r.name.clone())))
        .chain(spec.conditioning.iter().map(|c| (c.as_str(), Subject::Conditioning)))
    {
        match Locator::new(&listing.root, folder, name, rules.conditioning.as_deref()) {
            Ok(locator) => locators.push((locator, subject)),
            Err(error) => listing.report(subject, name, error),
        }
    }
    let names = match inside(&listing.root, folder).and_then(|path| entries(&path)) {
        Ok(names) => names,
        Err(error) => return listing.report(Subject::Dataset, folder, error),
    };
    let other_captions = rules.caption_extension != "caption"
        && names.iter().any(|name| extension(name).as_deref() == Some("caption"));
    let no_caption = no_caption(&names, other_captions);
    let by_look = Folded::new(names.iter().cloned());
    note_foreign(listing, folder, &names);
    let stems = pictures(listing, folder, names, &locators, spec);
    let stems_by_look = Folded::new(stems.keys().map(PathBuf::from));
    // A region without a locator has been reported; its pictures could not be.
    let located = locators.len() == regions.len() + usize::from(spec.conditioning.is_some());
    let (pictures, mut stand_ins, mut with_more) = (stems.len(), 0, 0);
    for (stem, image) in stems {
        let image = folder.join(image);
        let alone = stems_by_look.only(&stem).is_some();
        let mut name = caption_name(folder, &stem, rules);
        if alone && listing.root.join(&name).symlink_metadata().is_err() {
            let other = name.file_name().and_then(|name| by_look.only(name));
            name = other.map_or(name.clone(), |other| folder.join(other));
        }
        let mut good = located;
        let text = match (caption::read(&listing.root, &name, spec), &rules.default_caption) {
            (Ok(written), _) => {
                with_more += usize::from(written.has_more_lines);
                written.text
            }
            (Err(error), Some(text)) if error.kind == Kind::Missing => {
                stand_ins += 1;
                text.trim().to_owned()
            }
            (Err(error), _) => {
                good = false;
                let error = error.with_hint(&no_caption).about(Subject::Caption, &name);
                listing.diagnostics.push(error.of_picture(&image));
                String::new()
            }
        };
        listing.used.push(name);
        let text = [rules.prefix.as_str(), &text, &rules.suffix];
        let text: Vec<&str> = text.into_iter().filter(|t| !t.is_empty()).collect();
        let mut item = Item::new(image.clone().into(), text.join(" "));
        item.repeats = rules.repeats;
        item.captions = rules.captions.clone();
        for (locator, subject) in &locators {
            let found = match locator.find(&stem, alone) {
                Ok(found) => Some(found),
                Err(error) if error.kind == Kind::Missing && may_lack(subject, spec) => None,
                Err(error) => {
                    good = false;
                    listing.diagnostics.push(error.on(subject.clone()).of_picture(&image));
                    None
                }
            };
            match (subject, found) {
                (Subject::Conditioning, Some(MaskSource::Picture(source))) => {
                    item.conditioning = Some(source);
                }
                (Subject::Conditioning, _) => {}
                (_, found) => item.masks.push(found),
            }
        }
        if good {
            listing.items.push(item);
        } else {
            item.masks.resize(regions.len(), None);
            listing.broken.push(item);
        }
    }
    caption::warn_of_lines(listing, folder, with_more);
    // The recipe's own `default_caption` is meant; a folder's words may be a surprise.
    if stand_ins > 0 && rules.default_caption != spec.default_caption {
        let mut text = format!(
            "{stand_ins} of {pictures} pictures have no .{}: they are captioned {:?}",
            rules.caption_extension,
            rules.default_caption.as_deref().unwrap_or_default()
        );
        if other_captions {
            text.push_str("; there are .caption files: for them set `caption_extension = \"caption\"`");
        }
        listing.warn(folder, text);
    }
}

/// The caption file of a picture, relative to the dataset's folder.
fn caption_name(folder: &Path, stem: &OsStr, rules: &FolderRules) -> PathBuf {
    let mut name = stem.to_owned();
    name.push(".");
    name.push(&rules.caption_extension);
    folder.join(name)
}

/// The pictures among `names` by their stems.
fn pictures(
    listing: &mut Listing,
    folder: &Path,
    names: Vec<PathBuf>,
    locators: &[(Locator, Subject)],
    spec: &DatasetSpec,
) -> BTreeMap<OsString, PathBuf> {
    let mut stems: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for name in names {
        let extension = extension(&name).unwrap_or_default();
        if extension != spec.caption_extension
            && let Some(text) = disguised(&listing.root.join(folder).join(&name))
        {
            listing.report(Subject::Picture, folder.join(name), Diagnostic::new(Kind::Doubtful, text));
            continue;
        }
        if OTHER_PICTURES.contains(&extension.as_str()) || ORIGINALS.contains(&extension.as_str()) {
            let text = format!(".{extension} is not read: convert it to PNG, JPEG or WebP");
            // Pictures are often made of an original beside them, which need not go then.
            let original = ORIGINALS.contains(&extension.as_str());
            let kind = if original { Kind::Doubtful } else { Kind::NotAPicture };
            listing.report(Subject::Picture, folder.join(name), Diagnostic::new(kind, text));
            continue;
        }
        let stem = name.file_stem().unwrap_or_default().to_owned();
        if !is_picture(&extension) || is_beside(&name, &stem, locators) {
            continue;
        }
        if let Some(first) = stems.get(&stem) {
            let text = format!(
                "its caption and masks have the same names as those of {}: rename one of them",
                first.display()
            );
            listing.report(Subject::Picture, folder.join(name), Diagnostic::new(Kind::Ambiguous, text));
            continue;
        }
        stems.insert(stem, name);
    }
    stems
}

/// True if a picture may be without this companion.
fn may_lack(subject: &Subject, spec: &DatasetSpec) -> bool {
    matches!(subject, Subject::Mask(_)) && spec.missing_mask == MissingMask::Absent
}

/// True if a picture file is a mask or conditioning image beside another picture.
fn is_beside(name: &Path, stem: &OsStr, locators: &[(Locator, Subject)]) -> bool {
    let ends = |text: &OsStr, end: &str| fold(text).ends_with(&fold(end.as_ref()));
    COMPANION_ENDINGS.iter().any(|end| ends(stem, end))
        || locators.iter().any(|(locator, _)| match locator {
            Locator::Beside { ending, .. } => ends(name.as_os_str(), ending),
            Locator::Folder { .. } | Locator::Alpha => false,
        })
}
