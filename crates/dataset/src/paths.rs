//! Keeps every file of a dataset inside its folder: a list from elsewhere must not reach other files.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::diagnostic::{Diagnostic, Kind};

/// Checks that `relative` names an existing file in `root`, which must be canonical.
pub(crate) fn resolve(root: &Path, relative: &Path) -> Result<PathBuf, Diagnostic> {
    let found = inside(root, relative)?;
    if !found.is_file() {
        return Err(cannot_read("it is not a file"));
    }
    Ok(found)
}

/// Checks that `relative` names something that exists in `root`, which must be canonical.
///
/// Symbolic links are followed, and must end inside `root`.
pub(crate) fn inside(root: &Path, relative: &Path) -> Result<PathBuf, Diagnostic> {
    let outside = |why: &str| {
        let rule = "every file must lie in the dataset's folder and be named relative to it";
        Err(Diagnostic::new(Kind::Outside, format!("{why}: {rule}")))
    };
    let mut depth = 0i64;
    if let [letter, b':', b'\\' | b'/', ..] = relative.as_os_str().as_encoded_bytes()
        && letter.is_ascii_alphabetic()
    {
        return outside("the path is absolute");
    }
    for part in relative.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::Prefix(_) => return outside("the path is absolute"),
        }
        if depth < 0 {
            return outside("`..` leads out of the dataset");
        }
    }
    let found = root.join(relative);
    let real = found.canonicalize().map_err(|e| unreadable(&e))?;
    if !real.starts_with(root) {
        return outside("a symbolic link leads out of the dataset");
    }
    Ok(found)
}

/// An error of the file system, with a missing file told apart.
pub(crate) fn unreadable(error: &std::io::Error) -> Diagnostic {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Diagnostic::missing(""),
        _ => cannot_read(error),
    }
}

/// A file that cannot be read, for this reason.
pub(crate) fn cannot_read(reason: impl Display) -> Diagnostic {
    Diagnostic::new(Kind::Unreadable, format!("cannot be read: {reason}"))
}
