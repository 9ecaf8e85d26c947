//! Hashes of whole files, remembered by path, size, time and inode, so that a model of many gigabytes is not
//! read anew whenever a run goes on.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairhuman_diffusion::weights::{VIEW, View};
use fairhuman_files::write_unsynced;
use serde::{Deserialize, Serialize};

use crate::cache::{Damaged, Key, files};

/// A file that was changed so shortly before its hash was remembered may have been changed again within the
/// same tick of the file system's clock: such hashes are not believed.
const TICK: Duration = Duration::from_secs(2);

/// The memory of hashes, a file in the cache folder. What cannot be read or written is hashed anew next time.
pub struct FileHashes {
    path: PathBuf,
    known: BTreeMap<PathBuf, Known>,
    changed: bool,
    damaged: bool,
}

/// The file. A wrong hash that is believed would make another model of the one that a run has.
#[derive(Serialize, Deserialize)]
struct Memory {
    /// Of `files`.
    digest: String,
    files: BTreeMap<PathBuf, Known>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    hash: String,
}

/// The system's facts about a file, known without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    /// Nanoseconds since 1970 of the last change.
    modified: u64,
    inode: u64,
}

impl FileHashes {
    /// The memory in `folder`.
    pub fn open(folder: &Path) -> Self {
        let path = folder.join("file-hashes.json");
        let (known, damaged) = match read(&path) {
            Ok(known) => (known.unwrap_or_default(), false),
            Err(Damaged) => (BTreeMap::new(), true),
        };
        Self { path, known, changed: damaged, damaged }
    }

    /// A note for a person, where the file was found damaged. That of an earlier version has no digest.
    pub fn note(&self) -> Option<String> {
        let path = self.path.display();
        self.damaged.then(|| {
            format!(
                "{path} was damaged, or of an earlier version, and is made again: the model's files are read anew"
            )
        })
    }

    /// BLAKE3 hash of a file's content, in hexadecimal digits.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(&mut self, file: &Path) -> io::Result<String> {
        let key = std::path::absolute(file)?;
        let stamp = stamp(file)?;
        if let Some(known) = self.known.get(&key)
            && known.stamp == stamp
        {
            return Ok(known.hash.clone());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fairhuman_files::open(file)?)?;
        let hash = hasher.finalize().to_hex().to_string();
        // A file that changes while it is read has no hash to remember.
        if self::stamp(file)? == stamp {
            self.known.insert(key, Known { stamp, hash: hash.clone() });
            self.changed = true;
        }
        Ok(hash)
    }

    /// The same of a component's file; of a view of a checkpoint, which parts of what it is: the view itself
    /// says where that lies, which does not matter.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_component(&mut self, file: &Path) -> io::Result<String> {
        if file.file_name().is_none_or(|name| name != VIEW) {
            return self.of(file);
        }
        let view: View = serde_json::from_slice(&fairhuman_files::read(file)?)?;
        let sources = if view.source.is_dir() { files(&view.source)? } else { vec![view.source.clone()] };
        let mut key = Key::new("view").with(&serde_json::to_vec(&view.tensors)?);
        for source in sources {
            key = key.with(self.of_component(&source)?.as_bytes());
        }
        Ok(key.digits())
    }

    /// Writes the memory, if there is anything new. It is only a shortcut: failing to write it is no error.
    pub fn save(&mut self) {
        if !self.changed {
            return;
        }
        self.changed = false;
        let files = std::mem::take(&mut self.known);
        let memory = Memory { digest: digest(&files), files };
        if let (Some(folder), Ok(bytes)) = (self.path.parent(), serde_json::to_vec(&memory))
            && fairhuman_files::make_folder(folder).is_ok()
        {
            let _ = write_unsynced(&self.path, &bytes);
        }
        self.known = memory.files;
    }
}

impl Drop for FileHashes {
    fn drop(&mut self) {
        self.save();
    }
}

/// The hashes of files that had been at rest when they were remembered; none where no file can be read.
fn read(path: &Path) -> Result<Option<BTreeMap<PathBuf, Known>>, Damaged> {
    let written = std::fs::metadata(path).and_then(|about| about.modified());
    let (Ok(written), Ok(bytes)) = (written, fairhuman_files::read(path)) else { return Ok(None) };
    let Memory { digest: expected, mut files } = serde_json::from_slice(&bytes).map_err(|_| Damaged)?;
    if digest(&files) != expected {
        return Err(Damaged);
    }
    let limit = written.checked_sub(TICK).map_or(0, nanoseconds);
    files.retain(|_, known| known.stamp.modified < limit);
    Ok(Some(files))
}

fn digest(files: &BTreeMap<PathBuf, Known>) -> String {
    let mut key = Key::new("file hashes");
    for (path, Known { stamp, hash }) in files {
        key = key.with(path.as_os_str().as_encoded_bytes()).with(hash.as_bytes());
        for number in [stamp.size, stamp.modified, stamp.inode] {
            key = key.with(&number.to_le_bytes());
        }
    }
    key.digits()
}

fn stamp(file: &Path) -> io::Result<Stamp> {
    let about = std::fs::metadata(file)?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&about);
    #[cfg(not(unix))]
    let inode = 0;
    Ok(Stamp { size: about.len(), modified: nanoseconds(about.modified()?), inode })
}

fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn touch(path: &Path, time: SystemTime) {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_change_in_the_middle_is_noticed_and_an_unchanged_file_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (file, past) = (folder.path().join("weights"), UNIX_EPOCH + Duration::from_secs(1_000_000));
        let write = |middle: u8, time| {
            let mut bytes = vec![0u8; 4 << 20];
            bytes[2 << 20] = middle;
            std::fs::write(&file, bytes).unwrap();
            touch(&file, time);
        };
        let hash = || FileHashes::open(folder.path()).of(&file).unwrap();
        write(1, past);
        let first = hash();
        write(2, past + Duration::from_secs(1));
        let second = hash();
        assert_ne!(first, second);
        // With the same size, time and inode, a memory that is believed gives the remembered hash.
        let mut memory = FileHashes::open(folder.path());
        memory.known.values_mut().for_each(|known| known.hash.clone_from(&first));
        memory.changed = true;
        drop(memory);
        assert_eq!(hash(), first);
    }

    #[test]
    fn a_damaged_memory_is_told_and_made_again_and_never_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = (folder.path().join("weights"), folder.path().join("file-hashes.json"));
        std::fs::write(&file, b"one").unwrap();
        touch(&file, UNIX_EPOCH + Duration::from_secs(1_000_000));
        let hash = FileHashes::open(folder.path()).of(&file).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let halves = [0, whole.len() / 2].map(|length| whole[..length].to_vec());
        let flipped = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        });
        for damaged in halves.into_iter().chain(flipped) {
            std::fs::write(&path, &damaged).unwrap();
            let mut memory = FileHashes::open(folder.path());
            assert!(memory.note().is_some(), "{}", String::from_utf8_lossy(&damaged));
            assert_eq!(memory.of(&file).unwrap(), hash);
            drop(memory);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
            assert!(FileHashes::open(folder.path()).note().is_none());
        }
    }

    #[test]
    fn the_hash_of_a_file_that_has_just_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights");
        std::fs::write(&file, b"one").unwrap();
        let now = std::fs::metadata(&file).unwrap().modified().unwrap();
        let hash = || FileHashes::open(folder.path()).of(&file).unwrap();
        let first = hash();
        std::fs::write(&file, b"two").unwrap();
        touch(&file, now);
        assert_ne!(first, hash());
    }
}
