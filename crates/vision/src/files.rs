//! File operations of a dataset: listing a folder's photographs, reading captions, atomic writing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use fairhuman_files::{Kind, ensure_ours};
use fairhuman_pictures::names;
use image::{DynamicImage, ImageFormat};

/// A file or folder cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct FilesError {
    /// File or folder.
    pub file: PathBuf,
    /// The reason.
    pub reason: String,
}

impl FilesError {
    /// An error with its reason.
    pub fn new(file: &Path, reason: impl ToString) -> Self {
        Self { file: file.into(), reason: reason.to_string() }
    }
}

/// Pictures of pictures, which this program makes.
const SHEETS: [&str; 2] = ["contact-sheet.png", "control-sheet.png"];

/// Photographs below a folder, as paths relative to it with `/`, sorted, without hidden files, the dataset
/// `out` itself, others of its kind, and masks and control images beside the photographs. Formats that
/// [`crate::photo`] cannot read are listed too, and pictures whose names do not say that they are some: both
/// are skipped with a reason, not in silence.
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
            if name.starts_with('.')
                || SHEETS.contains(&&*name)
                || out.is_some() && path.canonicalize().ok() == out
            {
                continue;
            }
            // Symbolic links to folders are not followed: they could form cycles.
            let kind = entry.file_type().map_err(|e| FilesError::new(&path, e))?;
            let ending = names::extension(&path).unwrap_or_default();
            let known = |list: &[&str]| list.contains(&ending.as_str());
            if kind.is_dir() && (is_dataset(&path) || is_of_a_page(&path)) {
                continue;
            } else if kind.is_dir() {
                open.push((path, format!("{prefix}{name}/")));
            } else if known(&names::READ)
                || known(&names::OTHERS)
                || known(&names::ORIGINALS)
                || names::disguised(&path).is_some()
            {
                found.push(format!("{prefix}{name}"));
            }
        }
    }
    let stems: HashSet<String> = found.iter().map(|name| stem(name)).collect();
    let is_beside = |name: &String| {
        let own = stem(name);
        names::COMPANION_ENDINGS.iter().any(|end| own.strip_suffix(end).is_some_and(|of| stems.contains(of)))
    };
    found.retain(|name| !is_beside(name));
    found.sort();
    Ok(found)
}

/// A name without its ending, in small letters.
fn stem(name: &str) -> String {
    Path::new(name).with_extension("").to_string_lossy().to_lowercase()
}

/// True if a folder is a dataset that `annotate` made: its pictures are no photographs.
fn is_dataset(folder: &Path) -> bool {
    folder.join("metadata.jsonl").is_file() && folder.join("annotations").is_dir()
}

/// True if a folder holds the pictures of our page beside it, which show those that `refine` was given.
fn is_of_a_page(folder: &Path) -> bool {
    let page = folder.with_file_name("index.html");
    folder.ends_with("sheet") && page.is_file() && ensure_ours(&page, Kind::Page).is_ok()
}

/// The caption in the `.txt` file beside a photograph: the first line that is not blank, as training reads
/// such files.
pub fn caption(photo: &Path) -> Result<Option<String>, String> {
    let file = photo.with_extension("txt");
    match fairhuman_files::read(&file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => {
                let text = text.trim_start_matches('\u{feff}');
                let line = text.split(['\n', '\r']).map(str::trim).find(|line| !line.is_empty());
                Ok(line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")))
            }
            Err(_) => Err(format!("its caption {} is not UTF-8", file.display())),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("its caption {} cannot be read: {e}", file.display())),
    }
}

/// Creates a folder and its parents.
pub fn folder(folder: &Path) -> Result<(), FilesError> {
    fairhuman_files::make_folder(folder).map_err(|e| FilesError::new(folder, e))
}

fn parent(file: &Path) -> Result<(), FilesError> {
    file.parent().map_or(Ok(()), folder)
}

/// Writes a file atomically, creating its folder.
pub fn write(file: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    parent(file)?;
    fairhuman_files::write_atomically(file, bytes).map_err(|e| FilesError::new(file, e))
}

/// Encodes a picture in the format of the file's extension.
pub fn encoded(file: &Path, picture: &DynamicImage) -> Result<Vec<u8>, FilesError> {
    let format = ImageFormat::from_path(file).map_err(|e| FilesError::new(file, e))?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).map_err(|e| FilesError::new(file, e))?;
    Ok(bytes.into_inner())
}

/// Writes a picture in the format of the file's extension.
pub fn picture(file: &Path, picture: &DynamicImage) -> Result<(), FilesError> {
    write(file, &encoded(file, picture)?)
}

/// Removes a file if it exists.
pub fn remove(file: &Path) -> Result<(), FilesError> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(FilesError::new(file, e)),
        _ => Ok(()),
    }
}

/// Places a photograph at `to`: as a hard link if the file system allows, else as a copy.
pub fn link(from: &Path, to: &Path) -> Result<(), FilesError> {
    parent(to)?;
    // Link to the target of a symbolic link, not to the link, which may be removed.
    let from = from.canonicalize().map_err(|e| FilesError::new(from, e))?;
    if to.canonicalize().is_ok_and(|to| to == from) {
        return Ok(());
    }
    let mut name = to.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = to.with_file_name(name);
    remove(&temporary)?;
    if std::fs::hard_link(&from, &temporary).is_ok() {
        std::fs::rename(&temporary, to).map_err(|e| FilesError::new(to, e))?;
        // `rename` does nothing if both names are links to the same file: remove the temporary one.
        return remove(&temporary);
    }
    let bytes = fairhuman_files::read(&from).map_err(|e| FilesError::new(&from, e))?;
    write(to, &bytes)
}

#[cfg(test)]
mod tests {
    use super::{link, photographs};

    #[test]
    fn only_pictures_of_a_page_that_this_program_made_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        std::fs::create_dir(path.join("sheet")).expect("a folder");
        std::fs::write(path.join("sheet/a.png"), b"a picture").expect("a picture");
        let found = |page: &str| {
            std::fs::write(path.join("index.html"), page).expect("a page");
            photographs(path, &path.join("out")).expect("a list")
        };
        assert_eq!(found("<!doctype html><title>My aunt</title>"), ["sheet/a.png"]);
        let ours = "<!doctype html><meta name=\"generator\" content=\"fairhuman 0.1.0\">";
        assert!(found(ours).is_empty());
    }

    #[test]
    fn masks_and_control_images_beside_photographs_are_no_photographs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        std::fs::create_dir(path.join("more")).expect("a folder");
        for name in ["a.jpg", "a-masklabel.png", "more/B.png", "more/b-condlabel.png", "c-masklabel.png"] {
            std::fs::write(path.join(name), b"a picture").expect("a picture");
        }
        // One that belongs to no photograph may be one.
        let found = photographs(path, &path.join("out")).expect("a list");
        assert_eq!(found, ["a.jpg", "c-masklabel.png", "more/B.png"]);
    }

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
