//! Making folders, with an error that names the file in the place of one: "Not a directory" alone says
//! neither which, nor what to do.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Makes a folder and its parents.
///
/// # Errors
/// The system's error, or a file that is where a folder should be.
pub fn make_folder(folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder).or_else(|error| {
        ensure_no_file(folder)?;
        Err(error)
    })
}

/// Fails where a file is in the place of this folder, or of one that would hold it.
///
/// # Errors
/// See above; a folder that is not there is no error.
pub fn ensure_no_file(folder: &Path) -> Result<()> {
    // The nearest part that is there decides: above it all are folders.
    let Some(there) = folder.ancestors().find(|part| part.symlink_metadata().is_ok()) else { return Ok(()) };
    let what = match there.metadata() {
        Ok(data) if data.is_dir() => return Ok(()),
        Ok(_) => "is a file",
        Err(_) => "is a link to nothing",
    };
    let text = format!(
        "{} {what}, where a folder should be: move it away, or choose another place",
        there.display()
    );
    Err(Error::new(ErrorKind::NotADirectory, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_a_folder_is_named() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        for name in ["file", "file/deep", "file/deep/er"] {
            let text = make_folder(at(name)).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{} is a file", at("file").display())), "{text}");
            assert!(ensure_no_file(&at(name)).is_err());
        }
        make_folder(at("new/deep")).unwrap();
        ensure_no_file(&at("new/deep/more")).unwrap();
        ensure_no_file(Path::new("not there/at all")).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
            let text = make_folder(at("link/deep")).unwrap_err().to_string();
            assert!(text.contains("link is a link to nothing"), "{text}");
        }
    }
}
