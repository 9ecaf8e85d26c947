//! Writing files and folders so that a reader never sees half of one: temporary name, sync, rename. An old
//! one stays until the new one is complete, and stays where writing fails.
//!
//! Leftovers of killed processes under temporary names are removed when the same file or folder is written
//! again.
//!
//! [`json`] prepares JSON as Python writes it for a parser: for every crate that reads files of others.

mod apart;
mod copy;
mod folder;
pub mod json;
mod leftover;
mod lock;
mod make_folder;
mod replace;
mod sha256;

use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Result, Write};
use std::path::Path;

pub use apart::{Overlap, Relation, ensure_apart};
pub use copy::{FileError, copy};
pub use folder::PartialFolder;
pub use leftover::remove_leftovers;
pub use lock::{FolderLock, LockError};
pub use make_folder::{ensure_no_file, make_folder};
pub use replace::{Foreign, Kind, MARK, ensure_ours};
pub use sha256::{sha256_hex, sha256_of};

/// Fails where something is at `path` that is no file, or a link to nothing: opening a pipe, for one, waits
/// for somebody to write into it.
///
/// # Errors
/// See above; what is not there at all is no error.
pub fn ensure_file(path: &Path) -> Result<()> {
    let no_file = |what: &str| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what.to_owned()));
    match (path.metadata(), path.symlink_metadata()) {
        (Ok(data), _) if !data.is_file() => no_file("it is no file"),
        (Err(_), Ok(_)) => no_file("it is a link to nothing"),
        _ => Ok(()),
    }
}

/// Reads a whole file, which must be one; see [`ensure_file`].
///
/// # Errors
/// The system's error, or what is in the file's place.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    ensure_file(path.as_ref())?;
    std::fs::read(path)
}

/// Reads a whole file of text, which must be one; see [`ensure_file`].
///
/// # Errors
/// The system's error, what is in the file's place, or that it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> Result<String> {
    ensure_file(path.as_ref())?;
    std::fs::read_to_string(path)
}

/// Opens a file for reading, which must be one; see [`ensure_file`].
///
/// # Errors
/// The system's error, or what is in the file's place.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    ensure_file(path.as_ref())?;
    File::open(path)
}

/// Writes `bytes` to `path`. When this returns, they are on the disk.
///
/// # Errors
/// The system's error; the old file, if any, is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically_with(path, |file| file.write_all(bytes))
}

/// Writes what `fill` writes to `path`. When this returns, it is on the disk.
///
/// # Errors
/// The system's or `fill`'s error; the old file, if any, is then untouched.
pub fn write_atomically_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    replace(path, fill, true)?;
    // The rename itself survives a power cut only once the folder is synced; not every system can do that.
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty())
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes `bytes` to `path` without waiting for the disk: readers never see half of them, but a power cut may
/// lose them. For many small files that can be made again.
///
/// # Errors
/// The system's error; the old file, if any, is then untouched.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes), false)
}

fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>, sync: bool) -> Result<()> {
    // Leftovers of many small files would be looked for among all of them, each time.
    let (temporary, file) =
        leftover::begin(path, leftover::FILE, sync, |path| File::create_new(path).inspect(leftover::lock))?;
    let written = (|| {
        let mut file = BufWriter::new(file);
        fill(&mut file)?;
        let file = file.into_inner().map_err(IntoInnerError::into_error)?;
        if sync {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // The first error is the one to report, whether or not the leftover can be removed.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_unsynced(&path, b"old").unwrap();
        let failed = write_atomically_with(&path, |file| {
            file.write_all(b"half")?;
            Err(std::io::Error::other("full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "full");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        write_atomically(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn paths_that_name_no_file_or_a_folder_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_atomically(&folder.path().join(".."), b"").is_err());
        assert!(write_atomically(folder.path(), b"").is_err());
        assert!(write_unsynced(&folder.path().join("absent").join("file"), b"").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn leftovers_of_dead_processes_go_when_the_file_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let (dead, other) = (format!(".file.{}-7.tmp", child.id()), format!(".other.{}-7.tmp", child.id()));
        let living = format!(".file.{}-7.tmp", 1);
        [&dead, &other, &living].iter().for_each(|name| std::fs::write(at(name), "half").unwrap());
        write_atomically(&at("file"), b"new").unwrap();
        assert!(!at(&dead).exists() && at(&other).exists() && at(&living).exists());
        remove_leftovers(folder.path()).unwrap();
        assert!(!at(&other).exists() && at(&living).exists());
    }

    #[test]
    fn threads_that_write_one_file_do_not_meet_in_its_temporary_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::thread::scope(|scope| {
            for letter in [b'a', b'b', b'c'] {
                let path = &path;
                scope.spawn(move || (0..50).for_each(|_| write_atomically(path, &[letter; 9999]).unwrap()));
            }
        });
        let written = std::fs::read(&path).unwrap();
        assert!(written.len() == 9999 && written.iter().all(|byte| *byte == written[0]));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
