//! The layout `files`: captions and masks are found by the picture's name.
//!
//! A name's stem is all of it before the *last* dot, so `a.1.png` and `a.2.png` are two names, `a.1` and `a.2`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::place::Place;
use super::{Item, Listing, absent_is_fine, caption};
use crate::captions::CaptionSpec;
use crate::paths::{inside, resolve, unreadable};
use crate::problem::{Fault, Problem, Subject};
use crate::source::MaskSource;
use crate::spec::{DatasetSpec, Layout, Region};

/// Endings of the pictures that are read.
pub(crate) const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Known picture formats that are not read: passing over them in silence would lose data unnoticed.
const OTHER_PICTURES: [&str; 9] = ["avif", "bmp", "gif", "heic", "heif", "jxl", "tga", "tif", "tiff"];
/// Files beside a picture that are no pictures, whether or not a region asks for them.
pub(crate) const BESIDE: [&str; 2] = ["-masklabel", "-condlabel"];

/// How one folder of pictures is read.
pub(super) struct Rules {
    /// Of caption files, without the dot.
    pub caption_extension: String,
    /// For pictures without a caption.
    pub default_caption: Option<String>,
    /// The folder that the mask source `"conditioning"` stands for, relative to the dataset's folder.
    pub conditioning: Option<PathBuf>,
    /// How often the pictures come in an epoch.
    pub repeats: u32,
    /// How their captions vary; none for the recipe's way.
    pub captions: Option<Arc<CaptionSpec>>,
}

impl Rules {
    /// What the recipe says.
    pub fn new(spec: &DatasetSpec) -> Self {
        Rules {
            caption_extension: spec.caption_extension.trim_start_matches('.').to_owned(),
            default_caption: spec.default_caption.clone(),
            conditioning: None,
            repeats: 1,
            captions: None,
        }
    }
}

/// Reads the pictures in the folder `root`, or in those of its folders that the recipe names.
pub(super) fn read(root: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Problem> {
    let mut listing = Listing::new(root, Layout::Files);
    let rules = Rules::new(spec);
    if spec.folders.is_empty() {
        add_folder(&mut listing, Path::new(""), &rules, spec, regions);
    }
    for folder in &spec.folders {
        let path = folder.path.strip_prefix(".").unwrap_or(&folder.path);
        add_folder(&mut listing, path, &rules, spec, regions);
    }
    if listing.items.is_empty() && listing.problems.is_empty() {
        let text = "holds neither a metadata.jsonl nor pictures (.png, .jpg, .jpeg, .webp)";
        let fault = Fault::Recipe(text.into());
        return Err(Problem { origin: None, subject: Subject::Dataset, file: listing.root, fault });
    }
    Ok(listing)
}

/// Adds the pictures in `folder`, which is relative to the dataset's.
pub(super) fn add_folder(
    listing: &mut Listing,
    folder: &Path,
    rules: &Rules,
    spec: &DatasetSpec,
    regions: &[Region],
) {
    let mut places = Vec::new();
    for (name, subject) in regions
        .iter()
        .map(|r| (r.mask.as_str(), Subject::Mask(r.name.clone())))
        .chain(spec.conditioning.iter().map(|c| (c.as_str(), Subject::Conditioning)))
    {
        match Place::new(&listing.root, folder, name, rules) {
            Ok(place) => places.push((place, subject)),
            Err(fault) => listing.problem(subject, name, fault),
        }
    }
    let names = match inside(&listing.root, folder).and_then(|path| entries(&path)) {
        Ok(names) => names,
        Err(fault) => return listing.problem(Subject::Dataset, folder, fault),
    };
    let stems = pictures(listing, folder, names, &places);
    // A region without a place has been reported; its pictures could not be.
    let located = places.len() == regions.len() + usize::from(spec.conditioning.is_some());
    for (stem, image) in stems {
        let (caption, mut good) = match read_caption(listing, folder, &stem, rules, spec) {
            Ok(text) => (text, located),
            Err((file, fault)) => {
                listing.problem(Subject::Caption, file, fault);
                (String::new(), false)
            }
        };
        let mut item = Item::new(folder.join(image).into(), caption);
        item.repeats = rules.repeats;
        item.captions = rules.captions.clone().unwrap_or_default();
        for (place, subject) in &places {
            let found = match place.find(&stem) {
                Ok(found) => Some(found),
                Err((_, Fault::Missing(_))) if absent_is_fine(subject, spec) => None,
                Err((file, fault)) => {
                    good = false;
                    listing.problem(subject.clone(), file, fault);
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
}

/// The pictures among `names` by their stems.
fn pictures(
    listing: &mut Listing,
    folder: &Path,
    names: Vec<PathBuf>,
    places: &[(Place, Subject)],
) -> BTreeMap<OsString, PathBuf> {
    let mut stems: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for name in names {
        let Some(extension) = extension(&name) else {
            continue;
        };
        if OTHER_PICTURES.contains(&extension.as_str()) {
            let text = format!(".{extension} is not read: convert it to PNG, JPEG or WebP");
            listing.problem(Subject::Picture, folder.join(name), Fault::Undecodable(text));
            continue;
        }
        let stem = name.file_stem().unwrap_or_default().to_owned();
        if !is_picture(&extension) || is_beside(&name, &stem, places) {
            continue;
        }
        if let Some(first) = stems.get(&stem) {
            let text = format!(
                "its caption and masks have the same names as those of {}: rename one of them",
                first.display()
            );
            listing.problem(Subject::Picture, folder.join(name), Fault::Ambiguous(text));
            continue;
        }
        stems.insert(stem, name);
    }
    stems
}

/// Whether a picture file is a mask or conditioning image beside another picture.
fn is_beside(name: &Path, stem: &OsStr, places: &[(Place, Subject)]) -> bool {
    let ends = |text: &OsStr, end: &str| text.as_encoded_bytes().ends_with(end.as_bytes());
    BESIDE.iter().any(|end| ends(stem, end))
        || places.iter().any(|(place, _)| match place {
            Place::Beside { ending, .. } => ends(name.as_os_str(), ending),
            Place::Folder { .. } | Place::Alpha => false,
        })
}

fn read_caption(
    listing: &mut Listing,
    folder: &Path,
    stem: &OsStr,
    rules: &Rules,
    spec: &DatasetSpec,
) -> Result<String, (PathBuf, Fault)> {
    let mut name = stem.to_owned();
    name.push(".");
    name.push(&rules.caption_extension);
    let name = folder.join(name);
    let read = || {
        let path = resolve(&listing.root, &name)?;
        let bytes = std::fs::read(path).map_err(|e| unreadable(&e))?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let text = std::str::from_utf8(bytes).map_err(|e| Fault::Encoding(e.valid_up_to() + 1))?;
        caption(text, spec)
    };
    let result = match (read(), &rules.default_caption) {
        (Err(Fault::Missing(_)), Some(text)) => return Ok(text.clone()),
        (Err(Fault::Missing(_)), None) => Err(Fault::Missing(": every picture needs a caption".into())),
        (other, _) => other,
    };
    listing.used.push(name.clone());
    result.map_err(|fault| (name, fault))
}

/// The names in a folder, sorted; folders and dot files are left out.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let io = |e: std::io::Error| unreadable(&e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(b".") && !entry.path().is_dir() {
            names.push(PathBuf::from(name));
        }
    }
    names.sort();
    Ok(names)
}

/// A file's extension in small letters.
pub(crate) fn extension(name: &Path) -> Option<String> {
    Some(name.extension()?.to_str()?.to_ascii_lowercase())
}

/// Whether files with this extension are read as pictures.
pub(crate) fn is_picture(extension: &str) -> bool {
    PICTURES.contains(&extension)
}
