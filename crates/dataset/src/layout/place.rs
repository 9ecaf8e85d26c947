//! Where the masks of a region, or the conditioning images, of a folder of pictures lie.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::files::{PICTURES, Rules, entries, extension, is_picture};
use crate::paths::inside;
use crate::problem::Fault;
use crate::source::{MaskSource, Source};

/// A place that is asked for the mask of a picture.
pub(super) enum Place {
    /// The picture's own alpha channel.
    Alpha,
    /// Beside the picture: what follows the stem in the file's name, `"-masklabel.png"`.
    Beside {
        /// The dataset's folder.
        root: PathBuf,
        /// The pictures' folder, relative to it.
        folder: PathBuf,
        ending: String,
    },
    /// In a folder: its path in the dataset, and the files found there by stem.
    Folder { folder: PathBuf, by_stem: BTreeMap<OsString, Vec<PathBuf>> },
}

impl Place {
    /// The place called `name` for the pictures in `folder`, which is relative to `root`.
    pub fn new(root: &Path, folder: &Path, name: &str, rules: &Rules) -> Result<Place, Fault> {
        if name == "alpha" {
            return Ok(Place::Alpha);
        }
        let lower = name.to_ascii_lowercase();
        let ending = PICTURES.iter().find(|p| lower.ends_with(&format!(".{p}")));
        if let Some(ending) = ending {
            if name.contains(['/', '\\']) || name.len() == ending.len() + 1 {
                let text = format!(
                    "{name:?} must be the end of a file name such as \"-masklabel.png\", or a folder"
                );
                return Err(Fault::Recipe(text));
            }
            let (root, folder) = (root.to_owned(), folder.to_owned());
            return Ok(Place::Beside { root, folder, ending: name.to_owned() });
        }
        let masks = match &rules.conditioning {
            Some(conditioning) if name == "conditioning" => conditioning.clone(),
            // Either the masks lie in the pictures' folder, or the folder of masks is divided as that of pictures.
            _ => match folder.join(name) {
                own if root.join(&own).exists() => own,
                own => Some(Path::new(name).join(folder)).filter(|m| root.join(m).exists()).unwrap_or(own),
            },
        };
        let mut by_stem: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
        let path = inside(root, &masks).map_err(|fault| match fault {
            Fault::Missing(_) => Fault::Missing(
                ": masks lie in a folder of this name, or beside the pictures with an ending such as \
                 \"-masklabel.png\""
                    .into(),
            ),
            other => other,
        })?;
        for file in entries(&path)? {
            if extension(&file).is_some_and(|e| is_picture(&e)) {
                let stem = file.file_stem().unwrap_or_default().to_owned();
                by_stem.entry(stem).or_default().push(masks.join(file));
            }
        }
        Ok(Place::Folder { folder: masks, by_stem })
    }

    /// The mask that belongs to the picture of this stem; paths relative to the dataset's folder.
    pub fn find(&self, stem: &OsStr) -> Result<MaskSource, (PathBuf, Fault)> {
        let file = |path: PathBuf| MaskSource::Picture(Source::File(path));
        match self {
            Place::Alpha => Ok(MaskSource::Alpha),
            Place::Beside { root, folder, ending } => {
                let mut name = stem.to_owned();
                name.push(ending);
                let path = folder.join(name);
                if root.join(&path).symlink_metadata().is_err() {
                    return Err((path, Fault::Missing(absence_hint())));
                }
                Ok(file(path))
            }
            Place::Folder { folder, by_stem } => match by_stem.get(stem).map(Vec::as_slice) {
                Some([one]) => Ok(file(one.clone())),
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

/// What to do where a picture has no mask.
pub(crate) fn absence_hint() -> String {
    " (where a picture has no such region, use an all-black mask or set `missing_mask = \"absent\"`)".into()
}
