//! Finding repositories that were downloaded.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::wanted::{NETWORKS, PARTS};
use crate::{Name, Settings};

/// The cache folder of a user.
#[derive(Debug, Clone, Copy)]
pub struct Cache<'a> {
    folder: &'a Path,
}

impl<'a> Cache<'a> {
    /// The cache that the settings name.
    pub fn new(settings: &'a Settings) -> Self {
        Self { folder: &settings.cache }
    }

    /// Where the repository or the file is, if it was downloaded: a snapshot's folder, or a file in one.
    /// Of a folder it is not said that all of its files are there.
    pub fn find(&self, name: &Name) -> Option<PathBuf> {
        let snapshot = snapshot(&self.folder.join(name.folder()), &name.revision)?;
        match &name.file {
            None => Some(only_file(&snapshot).unwrap_or(snapshot)),
            Some(file) => Some(snapshot.join(file)).filter(|path| path.is_file()),
        }
    }

    /// A part of a model that its snapshot lacks, as after a download that was broken off.
    pub fn lacks(&self, snapshot: &Path) -> Option<String> {
        let text = fairhuman_files::read_to_string(snapshot.join("model_index.json")).ok()?;
        let index: Value = serde_json::from_str(&text).ok()?;
        let is_whole = |part: &&str| {
            let folder = snapshot.join(part);
            let named =
                index.get(part).and_then(Value::as_array).is_some_and(|class| !class.contains(&Value::Null));
            let ends = if NETWORKS.contains(part) { ".safetensors" } else { ".json" };
            !named
                || files(&folder).iter().any(|file| file.is_file() && file.to_string_lossy().ends_with(ends))
        };
        PARTS.iter().find(|part| !is_whole(part)).map(|part| (*part).to_owned())
    }

    /// The snapshot of a repository's folder in a cache, `models--org--name`, given by its path: of the
    /// branch main, or the only one. None where the folder is no such one.
    pub fn snapshot_in(folder: &Path) -> Option<PathBuf> {
        if let Some(snapshot) = snapshot(folder, "main") {
            return Some(snapshot);
        }
        let mut all = fs::read_dir(folder.join("snapshots")).ok()?.filter_map(Result::ok);
        match (all.next(), all.next()) {
            (Some(only), None) => Some(only.path()),
            _ => None,
        }
    }
}

/// The file of a repository that is one checkpoint.
pub(crate) fn only_file(snapshot: &Path) -> Option<PathBuf> {
    let all = files(snapshot);
    let named = |name: &str| all.iter().any(|file| file.file_name().is_some_and(|n| n == name));
    let mut weights = all.iter().filter(|file| file.extension().is_some_and(|e| e == "safetensors"));
    match (named("model_index.json") || named("config.json"), weights.next(), weights.next()) {
        (false, Some(only), None) => Some(only.clone()).filter(|file| file.is_file()),
        _ => None,
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn snapshot(folder: &Path, revision: &str) -> Option<PathBuf> {
    let commit = match is_commit(revision) {
        true => revision.to_owned(),
        false => fairhuman_files::read_to_string(folder.join("refs").join(revision)).ok()?.trim().to_owned(),
    };
    let snapshot = folder.join("snapshots").join(&commit);
    (is_commit(&commit) && snapshot.is_dir()).then_some(snapshot)
}

/// True for the full name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
