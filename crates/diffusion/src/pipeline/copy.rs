//! A model folder with some parts replaced: what whole-network training leaves behind.

use std::path::Path;

use super::ModelFolder;
use crate::net::ModelError;

/// Makes the model folder `to` from `from`: every component that its index names is copied, but those
/// `replaced` get their `config.json` and what `write` puts into them (told the component and its folder).
/// `to` appears under its name when all of it is there; a folder that was there before is replaced by it.
///
/// # Errors
/// Files that cannot be read or written, what `write` returns.
pub fn copy_model(
    from: &Path,
    to: &Path,
    replaced: &[&str],
    write: impl Fn(&str, &Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let model = ModelFolder::open(from)?;
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = to.with_file_name(name);
    remove(&partial)?;
    if let Err(error) = fill(&model, &partial, replaced, write) {
        // The first error is the one to report, whether or not the leftover can be removed.
        let _ = remove(&partial);
        return Err(error);
    }
    remove(to)?;
    std::fs::rename(&partial, to).map_err(io(to))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ModelError {
    let path = path.to_path_buf();
    move |source| ModelError::Io { path, source }
}

fn fill(
    model: &ModelFolder,
    partial: &Path,
    replaced: &[&str],
    write: impl Fn(&str, &Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let from = &model.path;
    std::fs::create_dir_all(partial).map_err(io(partial))?;
    for entry in std::fs::read_dir(from).map_err(io(from))? {
        let entry = entry.map_err(io(from))?;
        let (path, copy) = (entry.path(), partial.join(entry.file_name()));
        if path.is_file() {
            if path.extension().is_some_and(|e| e == "json") {
                std::fs::copy(&path, &copy).map_err(io(&path))?;
            }
        } else if path.is_dir() && model.components.iter().any(|name| entry.file_name() == **name) {
            std::fs::create_dir_all(&copy).map_err(io(&copy))?;
            let replaced = replaced.iter().any(|name| entry.file_name() == *name);
            copy_files(&path, &copy, replaced)?;
        }
    }
    for component in replaced {
        write(component, &partial.join(component))?;
    }
    Ok(())
}

fn copy_files(from: &Path, to: &Path, only_config: bool) -> Result<(), ModelError> {
    for entry in std::fs::read_dir(from).map_err(io(from))? {
        let path = entry.map_err(io(from))?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_file() && (!only_config || name == "config.json") {
            std::fs::copy(&path, to.join(name)).map_err(io(&path))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), ModelError> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(path)(e)),
        _ => Ok(()),
    }
}
