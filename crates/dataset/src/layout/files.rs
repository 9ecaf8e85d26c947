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
use crate::paths::{inside, unreadable};
use crate::problem::{Fault, Problem, Subject};
use crate::source::MaskSource;
use crate::spec::{DatasetSpec, Layout, Region};

/// Endings of the pictures that are read.
pub(crate) const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Known picture formats that are not read: passing over them in silence would lose data unnoticed.
const OTHER_PICTURES: [&str; 9] = ["avif", "bmp", "gif", "heic", "heif", "jxl", "tga", "tif", "tiff"];
/// Files beside a picture that are no pictures, whether or not a region asks for them.
pub(crate) const BESIDE: [&str; 2] = ["-masklabel", "-condlabel"];

/// What to do where a picture has no caption.
const NO_CAPTION: &str =
    ": every picture needs a caption (one for all that have none: set `default_caption`)";

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
    /// How their captions vary.
    pub captions: Arc<CaptionSpec>,
}

impl Rules {
    /// What the recipe says.
    pub fn new(spec: &DatasetSpec) -> Self {
        Rules {
            caption_extension: spec.caption_extension.trim_start_matches('.').to_owned(),
            default_caption: spec.default_caption.clone(),
            conditioning: None,
            repeats: 1,
            captions: Arc::new(spec.captions.clone()),
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
        return Err(Problem::new(Subject::Dataset, listing.root, fault));
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
    let other_captions = names.iter().any(|name| extension(name).as_deref() == Some("caption"));
    let stems = pictures(listing, folder, names, &places);
    // A region without a place has been reported; its pictures could not be.
    let located = places.len() == regions.len() + usize::from(spec.conditioning.is_some());
    let (pictures, mut stand_ins, mut with_more) = (stems.len(), 0, 0);
    for (stem, image) in stems {
        let image = folder.join(image);
        let name = caption_name(folder, &stem, rules);
        let of_picture = |subject: &Subject, file, fault| {
            let item = Some(image.clone());
            Problem { item, ..Problem::new(subject.clone(), file, fault) }
        };
        let mut good = located;
        let text = match (caption::read(&listing.root, &name, spec), &rules.default_caption) {
            (Ok(written), _) => {
                with_more += usize::from(written.more);
                written.text
            }
            (Err(Fault::Missing(_)), Some(text)) => {
                stand_ins += 1;
                text.trim().to_owned()
            }
            (Err(fault), _) => {
                let fault = match fault {
                    Fault::Missing(_) => Fault::Missing(NO_CAPTION.into()),
                    other => other,
                };
                good = false;
                listing.problems.push(of_picture(&Subject::Caption, name.clone(), fault));
                String::new()
            }
        };
        listing.used.push(name);
        let mut item = Item::new(image.clone().into(), text);
        item.repeats = rules.repeats;
        item.captions = rules.captions.clone();
        for (place, subject) in &places {
            let found = match place.find(&stem) {
                Ok(found) => Some(found),
                Err((_, Fault::Missing(_))) if absent_is_fine(subject, spec) => None,
                Err((file, fault)) => {
                    good = false;
                    listing.problems.push(of_picture(subject, file, fault));
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
    caption::note_lines(listing, folder, with_more);
    // The recipe's own `default_caption` is meant; a folder's words may be a surprise.
    if stand_ins > 0 && rules.default_caption != spec.default_caption {
        let mut text = format!(
            "{stand_ins} of {pictures} pictures have no .{}: they are captioned {:?}",
            rules.caption_extension,
            rules.default_caption.as_deref().unwrap_or_default()
        );
        if other_captions && rules.caption_extension != "caption" {
            text.push_str("; there are .caption files: for them set `caption_extension = \"caption\"`");
        }
        listing.doubt(folder, text);
    }
}

/// The caption file of a picture, relative to the dataset's folder.
fn caption_name(folder: &Path, stem: &OsStr, rules: &Rules) -> PathBuf {
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
