//! Encoded pictures and captions on disk, under keys that change with everything they depend on.
//!
//! A key is the BLAKE3 hash of all inputs: the picture's bytes and its geometry, or the caption, and the
//! content of every file of the encoders. A stale entry can therefore not be found; it is only never used
//! again. Folders may be shared between runs and deleted at any time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fairhuman_diffusion::weights::{TensorBytes, WeightError, WeightFiles};

use crate::file_hashes::FileHashes;
use crate::sealed;

/// Changes whenever the content of entries does.
const VERSION: &str = "fairhuman cache 2";
/// The header key of an entry's own key.
const KEY: &str = "key";

/// A key under construction. Every part is preceded by its length, so that no two lists of parts are alike.
pub struct Key(blake3::Hasher);

impl Key {
    /// A key for entries of one kind.
    pub fn new(kind: &str) -> Self {
        Self(blake3::Hasher::new()).with(VERSION.as_bytes()).with(kind.as_bytes())
    }

    /// With a part.
    pub fn with(mut self, part: &[u8]) -> Self {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// The hash in hexadecimal digits.
    pub fn digits(self) -> String {
        digits(&self.finish())
    }

    /// The hash.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

fn digits(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files directly in a folder, in the order of their names; none where there is no folder.
///
/// # Errors
/// A folder that cannot be read.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

/// An entry: named lists of numbers with their shapes.
pub type Entry = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// An entry cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// A folder of entries.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    /// Damaged entries that were met; shared by all clones.
    damaged: Arc<AtomicUsize>,
}

impl Cache {
    /// Entries in `folder`, which is made when the first one is stored.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), damaged: Arc::default() }
    }

    /// Hash of the names and contents of all files directly in `folders`; a folder that is not there counts
    /// as empty.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn hash_folders(&self, folders: &[PathBuf]) -> io::Result<[u8; 32]> {
        let mut hashes = FileHashes::open(&self.folder);
        let mut key = Key::new("files");
        for folder in folders {
            key = key.with(b"folder");
            for file in files(folder)? {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                key = key.with(name.as_bytes()).with(hashes.of_component(&file)?.as_bytes());
            }
        }
        Ok(key.finish())
    }

    /// The entry of `key`; none if there is none, or it is damaged, which is counted (it is then made again).
    pub fn get(&self, key: &[u8; 32]) -> Option<Entry> {
        let found = self.look_up(key);
        self.count_damaged(found.is_err());
        found.ok().flatten()
    }

    /// The entry of `key`; none if there is none. Nothing is counted.
    ///
    /// # Errors
    /// A damaged entry.
    pub fn look_up(&self, key: &[u8; 32]) -> Result<Option<Entry>, Damaged> {
        let path = self.path(key);
        if !path.exists() {
            return Ok(None);
        }
        // Of another key: a file that was renamed.
        let of_key =
            |files: &WeightFiles| files.metadata().get(KEY).is_some_and(|found| *found == digits(key));
        let entry = sealed::open(&path).ok().filter(of_key).and_then(|files| Self::read(&files));
        entry.map(Some).ok_or(Damaged)
    }

    /// Counts an entry, if it is damaged.
    pub fn count_damaged(&self, damaged: bool) {
        self.damaged.fetch_add(usize::from(damaged), Ordering::Relaxed);
    }

    /// The number of damaged entries met since this was last asked.
    pub fn take_damaged(&self) -> usize {
        self.damaged.swap(0, Ordering::Relaxed)
    }

    fn read(files: &WeightFiles) -> Option<Entry> {
        let read = |name: &str| {
            let data = files.get_any_shape(name).ok()?;
            Some((name.to_owned(), (data.shape().to_vec(), data.to_f32())))
        };
        files.names().map(read).collect()
    }

    /// Stores an entry, unless a number in it is not finite: that one is to be looked at, not kept.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn put(&self, key: &[u8; 32], entry: &Entry) -> Result<(), WeightError> {
        if entry.values().any(|(_, values)| values.iter().any(|v| !v.is_finite())) {
            return Ok(());
        }
        let path = self.path(key);
        if let Some(folder) = path.parent() {
            fairhuman_files::make_folder(folder)
                .map_err(|source| WeightError::Io { path: folder.into(), source })?;
        }
        let views =
            entry.iter().map(|(name, (shape, values))| (name.clone(), TensorBytes::f32(shape, values)));
        sealed::write(&path, &views.collect(), BTreeMap::from([(KEY.to_owned(), digits(key))]))
    }

    /// 256 folders, so that none grows too long to list.
    fn path(&self, key: &[u8; 32]) -> PathBuf {
        let name = digits(key);
        self.folder.join(&name[..2]).join(format!("{}.safetensors", &name[2..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_was_and_damage_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let key = Key::new("test").with(b"a").finish();
        assert!(cache.get(&key).is_none());
        let entry = Entry::from([("x".to_owned(), (vec![2, 1], vec![0.5, -3.0]))]);
        cache.put(&key, &entry).unwrap();
        assert_eq!(cache.get(&key), Some(entry));
        let other = Key::new("test").with(b"b").finish();
        std::fs::create_dir_all(cache.path(&other).parent().unwrap()).unwrap();
        std::fs::rename(cache.path(&key), cache.path(&other)).unwrap();
        assert!(cache.get(&other).is_none(), "an entry under another's name");
        std::fs::write(cache.path(&key), b"half").unwrap();
        assert!(cache.get(&key).is_none());
    }

    #[test]
    fn numbers_that_are_not_finite_are_never_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let key = Key::new("test").finish();
        cache.put(&key, &Entry::from([("x".to_owned(), (vec![1], vec![f32::NAN]))])).unwrap();
        assert!(cache.get(&key).is_none());
    }

    #[test]
    fn a_key_notices_every_part_and_where_it_ends() {
        let key = |parts: &[&[u8]]| parts.iter().fold(Key::new("k"), |k, p| k.with(p)).finish();
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_ne!(key(&[b"ab"]), key(&[b"ab", b""]));
    }

    #[test]
    fn the_hash_of_folders_notices_content_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let list = [folder.path().to_path_buf(), folder.path().join("absent")];
        let file = folder.path().join("weights");
        std::fs::write(&file, b"1").unwrap();
        let cache = Cache::new(&folder.path().join("cache"));
        let hash = || cache.hash_folders(&list).unwrap();
        let first = hash();
        assert_eq!(first, hash());
        std::fs::write(&file, b"2").unwrap();
        let second = hash();
        std::fs::rename(&file, folder.path().join("other")).unwrap();
        let third = hash();
        assert!(first != second && second != third && first != third);
    }
}
