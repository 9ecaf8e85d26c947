//! Finds the mask of a region, or the conditioning image, of each picture of a folder.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Kind};
use crate::paths::inside;
use crate::picture_files::{PICTURES, entries, extension, is_picture};
use crate::source::{ImageSource, MaskSource};
use crate::spelling::Folded;

/// A rule by which the mask of a picture is found.
pub(crate) enum Locator {
    /// The picture's own alpha channel.
    Alpha,
    /// Beside the picture, by what follows the stem in the file's name: `"-masklabel.png"`.
    Beside {
        /// The dataset's folder.
        root: PathBuf,
        /// The pictures' folder, relative to it.
        folder: PathBuf,
        ending: String,
        /// The names of the files there.
        names: Folded,
    },
    /// In a folder: its path in the dataset, and the files found there by stem.
    Folder { folder: PathBuf, by_stem: BTreeMap<OsString, Vec<PathBuf>>, stems: Folded },
}

impl Locator {
    /// The locator that a recipe calls `name`, for the pictures in `folder`, which is relative to `root`.
    /// `conditioning` is the folder that the name `"conditioning"` stands for.
    pub fn new(
        root: &Path,
        folder: &Path,
        name: &str,
        conditioning: Option<&Path>,
    ) -> Result<Locator, Diagnostic> {
        if name == "alpha" {
            return Ok(Locator::Alpha);
        }
        let lower = name.to_ascii_lowercase();
        let ending = PICTURES.iter().find(|p| lower.ends_with(&format!(".{p}")));
        if let Some(ending) = ending {
            if name.contains(['/', '\\']) || name.len() == ending.len() + 1 {
                let text = format!(
                    "{name:?} must be the end of a file name such as \"-masklabel.png\", or a folder"
                );
                return Err(Diagnostic::new(Kind::Recipe, text));
            }
            let names = inside(root, folder).and_then(|path| entries(&path)).unwrap_or_default();
            let (root, folder, names) = (root.to_owned(), folder.to_owned(), Folded::new(names));
            return Ok(Locator::Beside { root, folder, ending: name.to_owned(), names });
        }
        let masks = match conditioning {
            Some(conditioning) if name == "conditioning" => conditioning.to_owned(),
            // Either the masks lie in the pictures' folder, or the folder of masks is divided as that of
            // pictures.
            _ => match folder.join(name) {
                own if root.join(&own).exists() => own,
                own => Some(Path::new(name).join(folder)).filter(|m| root.join(m).exists()).unwrap_or(own),
            },
        };
        let mut by_stem: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
        let path = inside(root, &masks).map_err(|error| {
            error.with_hint(
                ": masks lie in a folder of this name, or beside the pictures with an ending such as \
                 \"-masklabel.png\"",
            )
        })?;
        for file in entries(&path)? {
            if extension(&file).is_some_and(|e| is_picture(&e)) {
                let stem = file.file_stem().unwrap_or_default().to_owned();
                by_stem.entry(stem).or_default().push(masks.join(file));
            }
        }
        let stems = Folded::new(by_stem.keys().map(PathBuf::from));
        Ok(Locator::Folder { folder: masks, by_stem, stems })
    }

    /// The PNG file that the mask of a picture without one would be found as; none for an alpha channel.
    pub fn place(&self, stem: &OsStr) -> Option<PathBuf> {
        let (folder, ending) = match self {
            Locator::Alpha => return None,
            Locator::Beside { folder, ending, .. } => (folder, ending.as_str()),
            Locator::Folder { folder, .. } => (folder, ".png"),
        };
        let mut name = stem.to_owned();
        name.push(ending);
        Some(folder.join(name))
    }

    /// The mask that belongs to the picture of this stem; paths relative to the dataset's folder. Where the
    /// picture is the only one whose name looks so (`alone`), the mask's may be spelt otherwise.
    pub fn find(&self, stem: &OsStr, alone: bool) -> Result<MaskSource, Diagnostic> {
        let file = |path: PathBuf| MaskSource::Picture(ImageSource::File(path));
        match self {
            Locator::Alpha => Ok(MaskSource::Alpha),
            Locator::Beside { root, folder, ending, names } => {
                let mut name = stem.to_owned();
                name.push(ending);
                let path = folder.join(&name);
                if let Some(other) = names.only(&name).filter(|_| alone)
                    && root.join(&path).symlink_metadata().is_err()
                {
                    return Ok(file(folder.join(other)));
                }
                if root.join(&path).symlink_metadata().is_err() {
                    return Err(Diagnostic::missing(IF_ABSENT).in_file(path));
                }
                Ok(file(path))
            }
            Locator::Folder { folder, by_stem, stems } => match by_stem
                .get(stem)
                .or_else(|| by_stem.get(stems.only(stem).filter(|_| alone)?.as_os_str()))
                .map(Vec::as_slice)
            {
                Some([one]) => Ok(file(one.clone())),
                None | Some([]) => {
                    let mut name = stem.to_owned();
                    name.push(".png");
                    Err(Diagnostic::missing(IF_ABSENT).in_file(folder.join(name)))
                }
                Some([first, second, ..]) => {
                    let text = format!("{} has the same name: keep one of them", second.display());
                    Err(Diagnostic::new(Kind::Ambiguous, text).in_file(first))
                }
            },
        }
    }
}

/// The advice where a picture has no mask.
const IF_ABSENT: &str =
    " (where a picture has no such region, use an all-black mask or set `missing_mask = \"absent\"`)";
