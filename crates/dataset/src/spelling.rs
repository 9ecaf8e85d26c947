//! Finds files whose names are spelt otherwise in a list, or beside their picture, than on the disk: with
//! backslashes, in the other Unicode form (NFC, NFD), or in other letters (`X.TXT` beside `X.png`). Systems
//! that datasets come from do not tell these apart.
//!
//! A name that is there as it is spelt is always taken; another only where a single file is meant.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use crate::paths::inside;

/// A name without the differences that are overlooked.
pub(crate) fn fold(name: &OsStr) -> String {
    name.to_string_lossy().nfc().collect::<String>().to_lowercase().nfc().collect()
}

/// Names by how they look.
#[derive(Debug, Default)]
pub(crate) struct Folded(HashMap<String, Vec<PathBuf>>);

impl Folded {
    pub fn new(names: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut folded: HashMap<String, Vec<PathBuf>> = HashMap::new();
        for name in names {
            folded.entry(fold(name.as_os_str())).or_default().push(name);
        }
        Folded(folded)
    }

    /// The one name that looks like `name`.
    pub fn only(&self, name: &OsStr) -> Option<&Path> {
        match self.0.get(&fold(name)).map(Vec::as_slice) {
            Some([one]) => Some(one),
            _ => None,
        }
    }
}

/// Finds the files that paths mean in the dataset's folder.
pub(crate) struct Spellings<'a> {
    root: &'a Path,
    /// The entries of folders that were looked at.
    folders: RefCell<HashMap<PathBuf, Folded>>,
}

impl<'a> Spellings<'a> {
    pub fn new(root: &'a Path) -> Self {
        Spellings { root, folders: RefCell::default() }
    }

    /// The path under which the file is there; `path` itself where it is, or where nothing is.
    pub fn find(&self, path: PathBuf) -> PathBuf {
        let exists = |path: &Path| self.root.join(path).symlink_metadata().is_ok();
        if exists(&path) {
            return path;
        }
        let Some(text) = path.to_str() else { return path };
        let text = text.replace('\\', "/");
        let mut found = PathBuf::new();
        for part in Path::new(&text).components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) if exists(&found.join(name)) => found.push(name),
                Component::Normal(name) => match self.looks_like(&found, name) {
                    Some(name) => found.push(name),
                    None => return path,
                },
                // What leads out of the folder is told as it is written.
                _ => return path,
            }
        }
        found
    }

    /// True if there is a file that `path` means, in the dataset's folder.
    pub fn holds(&self, path: PathBuf) -> bool {
        inside(self.root, &self.find(path)).is_ok()
    }

    /// The one entry of a folder that looks like `name`.
    fn looks_like(&self, folder: &Path, name: &OsStr) -> Option<PathBuf> {
        let mut folders = self.folders.borrow_mut();
        let entries = folders.entry(folder.to_owned()).or_insert_with(|| {
            let entries = std::fs::read_dir(self.root.join(folder));
            Folded::new(entries.into_iter().flatten().flatten().map(|entry| entry.file_name().into()))
        });
        entries.only(name).map(Path::to_owned)
    }
}
