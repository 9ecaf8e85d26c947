//! Readers of recipes and run folders.

use std::path::Path;

use fairhuman_report::{Report, Run, html};
use fairhuman_train::checkpoint;
use fairhuman_train::recipe::Recipe;

use super::put;

/// Recipes of every method.
pub(super) const RECIPES: &[&str] =
    &["../recipes/smoke.toml", "../recipes/small-model/vae.toml", "../recipes/small-model/unet.toml"];

pub(super) fn recipe(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    if let Ok(text) = std::str::from_utf8(input) {
        let path = folder.join("recipe.toml");
        if let Ok(recipe) = Recipe::parse(&path, text) {
            recipe.to_toml();
        }
        let _ = fairhuman_train::recipe::differences(text, text);
    }
    Ok(())
}

pub(super) fn events(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    put(folder, "run/events.jsonl", input)?;
    if let Ok(run) = Run::read(&folder.join("run")) {
        let mut report = Report::new("a run");
        report.runs.push(run);
        html(&report);
    }
    Ok(())
}

pub(super) fn checkpoint(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    let path = put(folder, &checkpoint::file_name(2), input)?;
    let _ = checkpoint::open(&path);
    let _ = checkpoint::newest(folder);
    Ok(())
}
