//! Keeps written paths apart from those that are read: a result that replaces its own source is lost work.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A path that would be written, and one that is read, which are not apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The path that would be written.
    pub written: PathBuf,
    /// Its relation to the path that is read.
    pub relation: Relation,
    /// The name of what is read, in words.
    pub what: String,
    /// Where that is.
    pub read: PathBuf,
}

/// The relation of a written path to one that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is the same file or folder.
    Is,
    /// It is a folder that holds it.
    Holds,
    /// It lies in it.
    LiesIn,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, relation, what, read } = self;
        let relation = match relation {
            Relation::Is => "is",
            Relation::Holds => "holds",
            Relation::LiesIn => "lies in",
        };
        let (written, read) = (written.display(), read.display());
        write!(
            f,
            "{written} would be written, and {relation} {what}, {read}, which is read: choose another place"
        )
    }
}

impl std::error::Error for Overlap {}

/// Fails where a path of `written` is, holds or lies in one of `read`, which are given with their names ("the
/// model"). Links are followed; paths need not exist.
///
/// # Errors
/// The first such pair.
pub fn ensure_apart(written: &[PathBuf], read: &[(&str, &Path)]) -> Result<(), Overlap> {
    for target in written {
        let Ok(real) = real_path(target) else { continue };
        for (what, source) in read {
            let Ok(other) = real_path(source) else { continue };
            let relation = if real == other {
                Relation::Is
            } else if other.starts_with(&real) {
                Relation::Holds
            } else if real.starts_with(&other) {
                Relation::LiesIn
            } else {
                continue;
            };
            let (written, read) = (target.clone(), source.to_path_buf());
            return Err(Overlap { written, relation, what: (*what).to_owned(), read });
        }
    }
    Ok(())
}

/// The path without links, of which the last parts need not exist.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let mut there = std::path::absolute(path)?;
    let mut missing: Vec<OsString> = Vec::new();
    loop {
        match there.canonicalize() {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |path, part| path.join(part))),
            Err(error) => {
                let Some(name) = there.file_name() else { return Err(error) };
                missing.push(name.to_owned());
                there.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_is_found_by_whatever_path() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("p/model/unet")).unwrap();
        let relation = |written: PathBuf| {
            ensure_apart(&[written], &[("the model", &at("p/model"))]).err().map(|overlap| overlap.relation)
        };
        assert_eq!(relation(at("p/model")), Some(Relation::Is));
        assert_eq!(relation(at("p/../p/./model")), Some(Relation::Is));
        assert_eq!(relation(at("p")), Some(Relation::Holds));
        assert_eq!(relation(at("p/model/new/deep")), Some(Relation::LiesIn));
        assert_eq!(relation(at("p/model2")), None);
        assert_eq!(relation(at("q/model")), None);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("p/model"), at("link")).unwrap();
            assert_eq!(relation(at("link")), Some(Relation::Is));
            assert_eq!(relation(at("link/new")), Some(Relation::LiesIn));
        }
    }
}
