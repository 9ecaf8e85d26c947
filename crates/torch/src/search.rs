//! Finding the folder that libtorch is in. Libraries read no environment: the places are the caller's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Places to look in, in this order.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// A folder that somebody named, with the name of what named it: nothing else is looked at.
    pub named: Option<(String, PathBuf)>,
    /// A virtual environment (`$VIRTUAL_ENV`).
    pub virtual_env: Option<PathBuf>,
    /// A Python that is asked where its torch is.
    pub python: Option<OsString>,
}

/// No libtorch where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// The folder that was named has none.
    #[error(
        "no libtorch in {folder}, which {by} names: expected the folder with {file}, such as \
             .../site-packages/torch/lib"
    )]
    Named {
        /// The folder.
        folder: String,
        /// `FAIRHUMAN_LIBTORCH`, say.
        by: String,
        /// The library's file name.
        file: String,
    },
    /// None anywhere.
    #[error(
        "no libtorch was found: neither --libtorch nor FAIRHUMAN_LIBTORCH is set, and neither $VIRTUAL_ENV nor \
             python3 has torch; `pip install torch` (2.11 or newer) is all that is needed"
    )]
    Nowhere,
}

/// The folder of libtorch's libraries.
///
/// # Errors
/// See [`NotFound`].
pub fn find(places: &Places) -> Result<PathBuf, NotFound> {
    let there = |folder: &Path| folder.join(crate::abi::file_name()).is_file();
    if let Some((by, folder)) = &places.named {
        if there(folder) {
            return Ok(folder.clone());
        }
        let (folder, by) = (folder.display().to_string(), by.clone());
        return Err(NotFound::Named { folder, by, file: crate::abi::file_name() });
    }
    let of_environment = places.virtual_env.iter().flat_map(|folder| in_environment(folder));
    of_environment
        .chain(places.python.as_ref().and_then(ask))
        .find(|folder| there(folder))
        .ok_or(NotFound::Nowhere)
}

/// `lib/python3*/site-packages/torch/lib` of a virtual environment, the newest Python first.
fn in_environment(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("lib")).into_iter().flatten().flatten();
    let pythons = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"));
    let mut folders: Vec<_> = pythons.map(|entry| entry.path().join("site-packages/torch/lib")).collect();
    folders.sort();
    folders.reverse();
    folders
}

/// The folder that a Python would import torch from. torch itself is not imported, which takes seconds.
fn ask(python: &OsString) -> Option<PathBuf> {
    let code = "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
    let mut command = Command::new(python);
    let output = command.args(["-c", code]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let folder = text.trim();
    (output.status.success() && !folder.is_empty()).then(|| Path::new(folder).join("lib"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_named_and_has_none_is_an_error_that_names_it() {
        let named = Some(("FAIRHUMAN_LIBTORCH".to_owned(), PathBuf::from("/nowhere")));
        let error = find(&Places { named, ..Places::default() }).expect_err("no libtorch");
        assert!(error.to_string().contains("/nowhere, which FAIRHUMAN_LIBTORCH names"), "{error}");
    }

    #[test]
    fn without_any_the_error_says_what_to_install() {
        let python = Some(OsString::from("no-such-python"));
        let virtual_env = Some(PathBuf::from("/nowhere"));
        let error = find(&Places { virtual_env, python, named: None }).expect_err("no libtorch");
        assert!(error.to_string().contains("pip install torch"), "{error}");
    }
}
