//! The layout `files`: captions and masks are found by the picture's name.
//!
//! A name's stem is all of it before the *last* dot, so `a.1.png` and `a.2.png` are two names, `a.1` and `a.2`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{Item, Listing, caption};
use crate::paths::{inside, resolve, unreadable};
use crate::problem::{Fault, Problem, Subject};
use crate::spec::{DatasetSpec, MissingMask, Region};

const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Known picture formats that are not read: passing over them in silence would lose data unnoticed.
const OTHER_PICTURES: [&str; 9] = ["avif", "bmp", "gif", "heic", "heif", "jxl", "tga", "tif", "tiff"];
/// Files beside a picture that are no pictures, whether or not a region asks for them.
const BESIDE: [&str; 2] = ["-masklabel", "-condlabel"];

/// Reads the pictures in the folder `root`.
pub(super) fn read(root: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Problem> {
    let mut listing = Listing::new(root);
    let mut places = Vec::new();
    for (name, subject) in regions
        .iter()
        .map(|r| (r.mask.as_str(), Subject::Mask(r.name.clone())))
        .chain(spec.conditioning.iter().map(|c| (c.as_str(), Subject::Conditioning)))
    {
        match Place::new(&listing.root, name) {
            Ok(place) => places.push((place, subject)),
            Err(fault) => listing.problems.push(problem(subject, name.into(), fault)),
        }
    }
    let names = entries(&listing.root).map_err(|fault| problem(Subject::Dataset, PathBuf::new(), fault))?;
    let mut stems: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for name in names {
        let Some(extension) = extension(&name) else {
            continue;
        };
        if OTHER_PICTURES.contains(&extension.as_str()) {
            let text = format!(".{extension} is not read: convert it to PNG, JPEG or WebP");
            listing.problems.push(problem(Subject::Picture, name, Fault::Undecodable(text)));
            continue;
        }
        let stem = name.file_stem().unwrap_or_default().to_owned();
        if !PICTURES.contains(&extension.as_str()) || is_beside(&name, &stem, &places) {
            continue;
        }
        if let Some(first) = stems.get(&stem) {
            let text = format!(
                "its caption and masks have the same names as those of {}: rename one of them",
                first.display()
            );
            listing.problems.push(problem(Subject::Picture, name, Fault::Ambiguous(text)));
            continue;
        }
        stems.insert(stem, name);
    }
    // A region without a place has been reported; its pictures could not be.
    let located = places.len() == regions.len() + usize::from(spec.conditioning.is_some());
    for (stem, image) in stems {
        let text = match read_caption(&listing.root, &stem, spec) {
            Ok(text) => Some(text),
            Err((file, fault)) => {
                listing.problems.push(problem(Subject::Caption, file, fault));
                None
            }
        };
        let mut found = Vec::new();
        for (place, subject) in &places {
            match place.find(&stem) {
                Ok(file) => found.push(Some(file)),
                Err((_, Fault::Missing(_))) if absent_is_fine(subject, spec) => found.push(None),
                Err((file, fault)) => listing.problems.push(problem(subject.clone(), file, fault)),
            }
        }
        if let Some(caption) = text
            && located
            && found.len() == places.len()
        {
            let conditioning = spec.conditioning.as_ref().and_then(|_| found.pop().flatten());
            listing.items.push(Item {
                origin: None,
                image,
                caption,
                masks: found,
                conditioning,
                size: (0, 0),
            });
        }
    }
    if listing.items.is_empty() && listing.problems.is_empty() {
        let text = "holds neither a metadata.jsonl nor pictures (.png, .jpg, .jpeg, .webp)";
        return Err(problem(Subject::Dataset, listing.root, Fault::Recipe(text.into())));
    }
    Ok(listing)
}

fn problem(subject: Subject, file: PathBuf, fault: Fault) -> Problem {
    Problem { origin: None, subject, file, fault }
}

fn absent_is_fine(subject: &Subject, spec: &DatasetSpec) -> bool {
    matches!(subject, Subject::Mask(_)) && spec.missing_mask == MissingMask::Absent
}

/// Where the masks of a region (or the conditioning images) lie.
enum Place {
    /// Beside the picture: what follows the stem in the file's name, `"-masklabel.png"`.
    Beside { root: PathBuf, ending: String },
    /// In a folder: its path in the dataset, and the names found there by stem.
    Folder { folder: PathBuf, by_stem: BTreeMap<OsString, Vec<PathBuf>> },
}

impl Place {
    fn new(root: &Path, name: &str) -> Result<Place, Fault> {
        let lower = name.to_ascii_lowercase();
        let ending = PICTURES.iter().find(|p| lower.ends_with(&format!(".{p}")));
        if let Some(ending) = ending {
            if name.contains(['/', '\\']) || name.len() == ending.len() + 1 {
                let text = format!(
                    "{name:?} must be the end of a file name such as \"-masklabel.png\", or a folder"
                );
                return Err(Fault::Recipe(text));
            }
            return Ok(Place::Beside { root: root.to_owned(), ending: name.to_owned() });
        }
        let folder = PathBuf::from(name);
        let mut by_stem: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
        let path = inside(root, &folder).map_err(|fault| match fault {
            Fault::Missing(_) => Fault::Missing(
                ": masks lie in a folder of this name, or beside the pictures with an ending such as \
                 \"-masklabel.png\""
                    .into(),
            ),
            other => other,
        })?;
        for file in entries(&path)? {
            if extension(&file).is_some_and(|e| PICTURES.contains(&e.as_str())) {
                let stem = file.file_stem().unwrap_or_default().to_owned();
                by_stem.entry(stem).or_default().push(folder.join(file));
            }
        }
        Ok(Place::Folder { folder, by_stem })
    }

    /// The file that belongs to the picture of this stem, relative to the dataset's folder.
    fn find(&self, stem: &OsStr) -> Result<PathBuf, (PathBuf, Fault)> {
        match self {
            Place::Beside { root, ending } => {
                let mut name = stem.to_owned();
                name.push(ending);
                let path = PathBuf::from(name);
                if root.join(&path).symlink_metadata().is_err() {
                    return Err((path, Fault::Missing(absence_hint())));
                }
                Ok(path)
            }
            Place::Folder { folder, by_stem } => match by_stem.get(stem).map(Vec::as_slice) {
                Some([one]) => Ok(one.clone()),
                None | Some([]) => {
                    let mut name = stem.to_owned();
                    name.push(".png");
                    Err((folder.join(name), Fault::Missing(absence_hint())))
                }
                Some([first, second, ..]) => {
                    let text = format!("{} has the same name: keep one of them", second.display());
                    Err((first.clone(), Fault::Ambiguous(text)))
                }
            },
        }
    }
}

fn absence_hint() -> String {
    " (where a picture has no such region, use an all-black mask or set `missing_mask = \"absent\"`)".into()
}

/// Whether a picture file is a mask or conditioning image beside another picture.
fn is_beside(name: &Path, stem: &OsStr, places: &[(Place, Subject)]) -> bool {
    let ends = |text: &OsStr, end: &str| text.as_encoded_bytes().ends_with(end.as_bytes());
    BESIDE.iter().any(|end| ends(stem, end))
        || places.iter().any(|(place, _)| match place {
            Place::Beside { ending, .. } => ends(name.as_os_str(), ending),
            Place::Folder { .. } => false,
        })
}

fn read_caption(root: &Path, stem: &OsStr, spec: &DatasetSpec) -> Result<String, (PathBuf, Fault)> {
    let mut name = stem.to_owned();
    name.push(".txt");
    let name = PathBuf::from(name);
    let read = || {
        let path = resolve(root, &name).map_err(|fault| match fault {
            Fault::Missing(_) => Fault::Missing(": every picture needs a caption".into()),
            other => other,
        })?;
        let bytes = std::fs::read(path).map_err(|e| unreadable(&e))?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|e| Fault::Caption(format!("is not UTF-8 text (byte {})", e.valid_up_to() + 1)))?;
        caption(text, spec)
    };
    read().map_err(|fault| (name.clone(), fault))
}

/// The names in a folder, sorted; folders and dot files are left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
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

fn extension(name: &Path) -> Option<String> {
    Some(name.extension()?.to_str()?.to_ascii_lowercase())
}
