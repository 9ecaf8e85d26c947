//! Copies whose errors name the file that failed.

use std::fs::File;
use std::io::{Error, sink};
use std::path::{Path, PathBuf};

/// An operation on a file failed.
#[derive(Debug)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The system's error.
    pub source: Error,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Copies the content of a file. When this returns, it is on the disk.
///
/// # Errors
/// The system's error, with the file that it is about: on a full disk the copy, not the original.
pub fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    let of = |path: &Path| {
        let path = path.to_path_buf();
        move |source| FileError { path, source }
    };
    let mut original = File::open(from).map_err(of(from))?;
    let mut copied = File::create(to).map_err(of(to))?;
    if let Err(source) = std::io::copy(&mut original, &mut copied) {
        // The error does not tell which of the two it is about; an original that is at fault has it again.
        return Err(match File::open(from).and_then(|mut file| std::io::copy(&mut file, &mut sink())) {
            Err(source) => of(from)(source),
            Ok(_) => of(to)(source),
        });
    }
    copied.sync_all().map_err(of(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_that_failed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        assert_eq!(copy(&from, &to).unwrap_err().path, from);
        std::fs::write(&from, "text").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"text");
        let absent = folder.path().join("absent").join("to");
        assert_eq!(copy(&from, &absent).unwrap_err().path, absent);
        // Reading a folder fails after it was opened.
        assert_eq!(copy(folder.path(), &to).unwrap_err().path, folder.path());
        if cfg!(target_os = "linux") {
            let error = copy(&from, Path::new("/dev/full")).unwrap_err();
            assert_eq!(
                (error.path, error.source.kind()),
                ("/dev/full".into(), std::io::ErrorKind::StorageFull)
            );
        }
    }
}
