//! Room on the disk, and what a run will need of it.

use std::path::Path;

use anyhow::Context;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_train::disk;
use fairhuman_train::memory::Networks;
use fairhuman_train::recipe::Recipe;

use crate::units::bytes;

/// A warning where less is free in the run's folder than the run will write, with a dataset of so many
/// pictures.
///
/// # Errors
/// Configurations that cannot be read.
pub fn warning(recipe: &Recipe, pictures: usize) -> anyhow::Result<Option<String>> {
    let networks = Networks::open(&ModelFolder::open(recipe.model.folder())?).context("model.path")?;
    let needed = disk::bytes(&networks, recipe, pictures);
    let Some(free) = free(&recipe.out).filter(|&free| free < needed) else { return Ok(None) };
    Ok(Some(format!(
        "out: the run will write about {}, and {} are free for {}; another --out, or fewer checkpoints \
         (checkpoints.keep)",
        bytes(needed),
        bytes(free),
        recipe.out.display()
    )))
}

/// Bytes that are free where a folder is or will be; none where the system does not tell.
#[cfg(unix)]
fn free(folder: &Path) -> Option<f64> {
    let absolute = std::path::absolute(folder).ok()?;
    let there = absolute.ancestors().find(|folder| folder.is_dir())?;
    let about = rustix::fs::statvfs(there).ok()?;
    Some(about.f_bavail as f64 * about.f_frsize as f64)
}

/// Other systems are not asked.
#[cfg(not(unix))]
fn free(_: &Path) -> Option<f64> {
    None
}
