//! Everything but the pictures that a run needs to start: its model, settings, folders, device, memory and
//! disk.

use std::path::Path;

use fairhuman_engine::Backend;
use fairhuman_train::recipe::{Device, Recipe};
use fairhuman_train::{folder, size, start};

use crate::device::{self, Resources, Work};
use crate::memory::{self, Memory};
use crate::{chain, disk, model_path};
use fairhuman_dataset::Dataset;
use fairhuman_diffusion::pipeline::ModelFolder;

/// The findings about a run's start.
#[derive(Debug, Default)]
pub struct Start {
    /// Reasons for which training would be refused.
    pub errors: Vec<String>,
    /// Things that it would do, and nobody means.
    pub warnings: Vec<String>,
}

/// Checks the start of a recipe's run, and settles the recipe's model as training does.
pub fn check(path: &Path, recipe: &mut Recipe) -> Start {
    let mut found = Start::default();
    if let Err(error) = model_path::settle(recipe, path) {
        found.errors.push(chain(&error));
        return found;
    }
    found.errors.extend(folder::ensure_apart_of_recipe(recipe, path).err().map(|e| e.to_string()));
    found.errors.extend(start::problems(recipe).iter().map(ToString::to_string));
    let Recipe { threads, precision, device, .. } = *recipe;
    // A CPU is always there, but may be asked for what it has not.
    let resources =
        Resources { threads: if device == Device::Cpu { 1 } else { threads }, precision, weight_cache: 0 };
    let there = device::run(device, resources, Nothing).err();
    found.errors.extend(there.map(|error| format!("device: {error:#}")));
    let memory = Memory::of(device);
    memory::settle_gradients(recipe, memory);
    found.errors.extend(memory::check(recipe, memory).err().map(|error| format!("{error:#}")));
    if let Ok(model) = ModelFolder::open(recipe.model.folder()) {
        found.warnings.extend(size::note(&model, &recipe.geometry));
    }
    let pictures =
        Dataset::open(Path::new(""), &recipe.dataset, &recipe.regions()).map_or(0, |data| data.len());
    found.warnings.extend(disk::warning(recipe, pictures).ok().flatten());
    found
}

/// The device is opened, and nothing is done on it.
struct Nothing;

impl Work for Nothing {
    type Output = ();

    fn on<B: Backend>(self, _: &B) -> anyhow::Result<()> {
        Ok(())
    }
}
