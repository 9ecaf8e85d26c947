//! A folder that one process at a time writes.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::Error;
use std::path::{Path, PathBuf};

use same_file::Handle;

use crate::ensure_file;

/// The file that is locked.
const LOCK: &str = ".lock";

/// A locked folder, until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    /// Open until it is dropped.
    file: Option<File>,
    /// The file and the folder, to be removed at the end, the latter if it is empty.
    temporary: Option<(PathBuf, PathBuf)>,
}

/// A folder that cannot be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    InUse(PathBuf),
    /// The lock file cannot be written.
    Io(PathBuf, Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(folder) => {
                write!(
                    f,
                    "{} is in use by another process; wait for it, or choose another folder",
                    folder.display()
                )
            }
            Self::Io(file, error) => write!(f, "{}: {error}", file.display()),
        }
    }
}

impl std::error::Error for LockError {}

impl FolderLock {
    /// Makes the folder if need be, and locks it.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK);
        let created = crate::make_folder(folder).and_then(|()| ensure_file(&path));
        let file =
            created.and_then(|()| File::create(&path)).map_err(|error| LockError::Io(path.clone(), error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file: Some(file), temporary: None }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => Err(LockError::Io(path, error)),
        }
    }

    /// The same for a folder in which nothing of the lock stays, and which goes with it if it is empty then.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take_for_a_while(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK);
        loop {
            let mut lock = Self::take(folder)?;
            // One that was removed between opening and locking is nobody's lock.
            if lock.file.as_ref().is_some_and(|file| is_at(file, &path)) {
                lock.temporary = Some((path, folder.to_owned()));
                return Ok(lock);
            }
        }
    }

    /// True while a process holds the lock of this folder, in which nothing is made.
    pub fn is_taken(folder: &Path) -> bool {
        let path = folder.join(LOCK);
        let file = ensure_file(&path).and_then(|()| File::open(&path));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }
}

/// True if the open file is the one that the path leads to.
fn is_at(file: &File, path: &Path) -> bool {
    let own = file.try_clone().and_then(Handle::from_file);
    own.is_ok_and(|own| Handle::from_path(path).is_ok_and(|there| own == there))
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if let Some((file, folder)) = &self.temporary {
            let _ = std::fs::remove_file(file);
            // While it is open, Windows may keep its name, and with it the folder.
            drop(self.file.take());
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_until_it_is_let_go() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("out");
        assert!(!FolderLock::is_taken(&folder) && !folder.exists());
        let held = FolderLock::take(&folder).unwrap();
        assert!(FolderLock::is_taken(&folder));
        assert!(matches!(FolderLock::take(&folder), Err(LockError::InUse(_))));
        drop(held);
        assert!(!FolderLock::is_taken(&folder));
        drop(FolderLock::take(&folder).unwrap());
        let held = FolderLock::take_for_a_while(&folder).unwrap();
        assert!(matches!(FolderLock::take_for_a_while(&folder), Err(LockError::InUse(_))));
        drop(held);
        assert!(!folder.exists(), "nothing of it stays");
    }
}
