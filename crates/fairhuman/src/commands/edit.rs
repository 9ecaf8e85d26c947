//! `fairhuman edit`: a dataset's masks and captions, changed by hand on a page in the browser.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fairhuman_dataset::DatasetSpec;
use fairhuman_dataset::edit::regions;
use fairhuman_train::recipe::Recipe;

use super::check::is_recipe;
use super::watch;
use crate::cli::Edit;

/// Serves the page until it is interrupted.
pub fn run(options: &Edit) -> anyhow::Result<ExitCode> {
    let mut runs = in_folder(Path::new("runs"));
    let (spec, found) = match is_recipe(&options.path)? {
        true => {
            let recipe = Recipe::read(&options.path)?;
            let regions = recipe.regions();
            runs.insert(0, recipe.out);
            (recipe.dataset, regions)
        }
        false => {
            let spec = DatasetSpec::new(&options.path);
            let regions = regions(Path::new(""), &spec);
            (spec, regions)
        }
    };
    let regions = if options.regions.is_empty() { found } else { options.regions.clone() };
    watch::edit(watch::Dataset::open(spec, regions, runs)?, options.port)
}

/// The folders in a folder; none where it cannot be read.
fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
