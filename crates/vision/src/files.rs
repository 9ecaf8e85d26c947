//! Files of a dataset: which photographs a folder holds, and writing that never leaves half a file.

use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat};

use crate::models::{store, temporary};

/// The disk refused something.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct FilesError {
    /// File or folder.
    pub file: PathBuf,
    /// The system's reason.
    pub reason: String,
}

impl FilesError {
    /// A refusal with its reason.
    pub fn new(file: &Path, reason: impl ToString) -> Self {
        Self { file: file.into(), reason: reason.to_string() }
    }
}

/// Endings of photographs that can be read, and of those that cannot but should not be passed over in silence.
const ENDINGS: [&str; 13] = [
    "jpg", "jpeg", "png", "webp", // these can
    "avif", "bmp", "dng", "gif", "heic", "heif", "jxl", "tif", "tiff",
];

/// Photographs below a folder, as paths relative to it with `/`, sorted; hidden files and the
/// dataset `out` itself left aside. Formats that [`crate::photo`] cannot read are listed too.
pub fn photographs(folder: &Path, out: &Path) -> Result<Vec<String>, FilesError> {
    let out = out.canonicalize().ok();
    let mut found = Vec::new();
    let mut open = vec![(folder.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|e| FilesError::new(&folder, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| FilesError::new(&folder, e))?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(FilesError::new(&entry.path(), "its name is not UTF-8: please rename it"));
            };
            let path = entry.path();
            if name.starts_with('.') || out.is_some() && path.canonicalize().ok() == out {
                continue;
            }
            // A symbolic link to a folder could lead round in circles.
            let kind = entry.file_type().map_err(|e| FilesError::new(&path, e))?;
            let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
            if kind.is_dir() {
                open.push((path, format!("{prefix}{name}/")));
            } else if ENDINGS.contains(&ending.as_str()) {
                found.push(format!("{prefix}{name}"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The caption in the `.txt` file beside a photograph: the first line with words in it, as training reads such files.
pub fn caption(photo: &Path) -> Result<Option<String>, String> {
    let file = photo.with_extension("txt");
    match std::fs::read(&file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => {
                let text = text.trim_start_matches('\u{feff}');
                let line = text.lines().map(str::trim).find(|line| !line.is_empty());
                Ok(line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")))
            }
            Err(_) => Err(format!("its caption {} is not UTF-8", file.display())),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("its caption {} cannot be read: {e}", file.display())),
    }
}

/// Makes a folder and those above it.
pub fn folder(folder: &Path) -> Result<(), FilesError> {
    std::fs::create_dir_all(folder).map_err(|e| FilesError::new(folder, e))
}

fn parent(file: &Path) -> Result<(), FilesError> {
    file.parent().map_or(Ok(()), folder)
}

/// Writes a file under another name and renames it.
pub fn write(file: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    parent(file)?;
    store(file, bytes).map_err(|e| FilesError::new(file, e))
}

/// A picture's file in the format of its ending.
pub fn encoded(file: &Path, picture: &DynamicImage) -> Result<Vec<u8>, FilesError> {
    let format = ImageFormat::from_path(file).map_err(|e| FilesError::new(file, e))?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).map_err(|e| FilesError::new(file, e))?;
    Ok(bytes.into_inner())
}

/// Writes a picture in the format of its ending.
pub fn picture(file: &Path, picture: &DynamicImage) -> Result<(), FilesError> {
    write(file, &encoded(file, picture)?)
}

/// Removes a file that may be there.
pub fn remove(file: &Path) -> Result<(), FilesError> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(FilesError::new(file, e)),
        _ => Ok(()),
    }
}

/// Puts a photograph at another place: linked where the disk allows, else copied.
pub fn link(from: &Path, to: &Path) -> Result<(), FilesError> {
    parent(to)?;
    // The link of a link would break with it; its target is what is meant.
    let from = from.canonicalize().map_err(|e| FilesError::new(from, e))?;
    if to.canonicalize().is_ok_and(|to| to == from) {
        return Ok(());
    }
    let temporary = temporary(to);
    remove(&temporary)?;
    if std::fs::hard_link(&from, &temporary).is_ok() {
        std::fs::rename(&temporary, to).map_err(|e| FilesError::new(to, e))?;
        // Of two links to one file the system renames none.
        return remove(&temporary);
    }
    let bytes = std::fs::read(&from).map_err(|e| FilesError::new(&from, e))?;
    write(to, &bytes)
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn linking_a_photograph_to_itself_or_again_keeps_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("a.png"), folder.path().join("images/a.png"));
        std::fs::write(&from, b"first").expect("a photograph");
        link(&from, &from).expect("nothing to do");
        link(&from, &to).expect("a link");
        link(&from, &to).expect("the same link");
        std::fs::remove_file(&from).expect("the photograph");
        std::fs::write(&from, b"second").expect("another photograph");
        link(&from, &to).expect("a link in place of the old one");
        let read = |path: &std::path::Path| std::fs::read(path).expect("the photograph");
        assert_eq!((read(&from), read(&to)), (b"second".to_vec(), b"second".to_vec()));
        assert_eq!(std::fs::read_dir(folder.path().join("images")).expect("the folder").count(), 1);
    }
}
