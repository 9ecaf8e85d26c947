//! Writing files so that a reader never sees half of one: temporary name, sync, rename. An old file stays
//! until the new one is complete, and stays where writing fails.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Error, ErrorKind, IntoInnerError, Result, Write};
use std::path::{Path, PathBuf};

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
    let temporary = temporary_name(path)?;
    let written = (|| {
        let mut file = BufWriter::new(File::create(&temporary)?);
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

/// Beside the target, because a rename does not cross file systems; with the process's number, because two
/// may write.
fn temporary_name(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(Error::new(ErrorKind::InvalidInput, "not a file name"));
    };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
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
            Err(Error::other("full"))
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
}
