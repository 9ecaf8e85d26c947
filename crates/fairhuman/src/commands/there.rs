//! Paths of the command line that lead nowhere: told before anything is done, with what they are for. The
//! system's own words would not say it.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::ensure;

use crate::model_path::is_builtin;

/// Fails for the first path at which there is nothing; each has its name in words ("the model").
pub fn ensure_there(read: &[(&str, &Path)]) -> anyhow::Result<()> {
    for (what, path) in read {
        let found = path.symlink_metadata();
        let is_absent = found.is_err_and(|error| error.kind() == ErrorKind::NotFound) && !is_builtin(path);
        ensure!(!is_absent, "{what}, {}: there is no such file or folder", path.display());
    }
    Ok(())
}
