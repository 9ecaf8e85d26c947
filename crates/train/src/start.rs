//! The start of a run without the run: everything that training opens before its first step, opened and
//! closed again. Weights are compared with their configurations by name and shape, and not read.

use std::path::Path;

use fairhuman_dataset::Dataset;
use fairhuman_diffusion::generate::{self, GenerateError};
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::schedule::NoiseSchedule;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::{self, VaeConfig};
use fairhuman_files::ensure_apart;

use crate::checkpoint::{self, CheckpointError, Saved};
use crate::data::{DataError, choose_training};
use crate::error::TrainError;
use crate::folder;
use crate::method::{LossSpace, Settings, Visitor};
use crate::previews;
use crate::recipe::{Recipe, Samples, differences};

/// Everything that a run of `recipe` would be refused for before its first step: its model and settings, the
/// run folder, its held-out pictures. What is wrong with the dataset is told by
/// [`fairhuman_dataset::check`].
pub fn problems(recipe: &Recipe) -> Vec<TrainError> {
    struct Check<'a>(&'a Recipe);
    impl Visitor<'_> for Check<'_> {
        type Output = Vec<TrainError>;
        fn visit<S: Settings>(self, settings: &S) -> Vec<TrainError> {
            let mut problems = Vec::new();
            problems.extend(check_run_folder(self.0).err());
            match ModelFolder::open(self.0.model.folder()) {
                Err(error) => problems.push(error.into()),
                Ok(model) => {
                    problems.extend(check_apart(self.0, &model, settings).err());
                    check_model(self.0, settings, &model, &mut problems);
                }
            }
            problems.extend(check_pictures(self.0).err());
            problems
        }
    }
    recipe.method.visit(Check(recipe))
}

/// Checks that what the run reads beside model and dataset is there, that it writes nothing where it reads,
/// and that its folders can be folders.
pub(crate) fn check_apart(
    recipe: &Recipe,
    model: &ModelFolder,
    settings: &impl Settings,
) -> Result<(), TrainError> {
    let mut named = settings.reads().into_iter().chain(previews::reads(recipe));
    if let Some((key, path)) = named.find(|(_, path)| !path.exists()) {
        return Err(TrainError::Absent { key, path: path.into() });
    }
    let places = model.places();
    let read: Vec<(&str, &Path)> = [("the dataset", &*recipe.dataset.path)]
        .into_iter()
        .chain(places.iter().map(|path| ("the model", path.as_path())))
        .chain(settings.reads())
        .chain(previews::reads(recipe))
        .collect();
    ensure_apart(&folder::written(recipe), &read)?;
    folder::ensure_folders(recipe)
}

/// Checks that a run goes on with the recipe that it was started with.
pub(crate) fn check_recipe(recipe: &Recipe, saved: Option<&Saved>) -> Result<(), TrainError> {
    let Some(saved) = saved else { return Ok(()) };
    let differences = differences(&saved.identity.recipe, &recipe.to_toml()).map_err(|e| {
        let (path, problem) = (saved.path().into(), format!("its recipe is not valid: {e}"));
        CheckpointError::Foreign { path, problem }
    })?;
    match differences.is_empty() {
        true => Ok(()),
        false => Err(TrainError::RecipeChanged { path: recipe.out.clone(), differences }),
    }
}

/// Checks the run folder: it is this recipe's own, or has nothing that a new run would replace.
fn check_run_folder(recipe: &Recipe) -> Result<(), TrainError> {
    let checkpoints = folder::checkpoints(&recipe.out);
    let saved = if checkpoints.is_dir() { checkpoint::newest(&checkpoints)?.0 } else { None };
    match saved {
        None => folder::ensure_new(recipe),
        Some(saved) => check_recipe(recipe, Some(&saved)),
    }
}

fn check_model(
    recipe: &Recipe,
    settings: &impl Settings,
    model: &ModelFolder,
    problems: &mut Vec<TrainError>,
) {
    let is_denoiser = recipe.method.space() == LossSpace::Latents;
    let opened = match is_denoiser {
        true => model.check(),
        false => vae::check_files(&model.vae())
            .and_then(|vae| Ok((UNetConfig::open(&model.unet().join("config.json"))?, vae))),
    };
    let (unet, vae) = match opened {
        Ok(configs) => configs,
        Err(error) => return problems.push(error.into()),
    };
    if is_denoiser {
        problems.extend(model.check_latents(&unet, &vae).err().map(TrainError::from));
    }
    problems.extend(recipe.geometry.check(vae.reduction()).err().map(DataError::from).map(TrainError::from));
    problems.extend(settings.check_model(model, (&unet, &vae)).err());
    if let Some(samples) = &recipe.samples {
        problems.extend(check_samples(samples, model, &vae).err());
    }
}

fn check_samples(samples: &Samples, model: &ModelFolder, vae: &VaeConfig) -> Result<(), TrainError> {
    let schedule = NoiseSchedule::read(&model.schedule()).map_err(ModelError::from)?;
    let of_samples = |source: GenerateError| TrainError::Samples { step: 0, source };
    generate::validate_size(model, &schedule, vae.reduction(), &previews::settings(samples))
        .map_err(of_samples)?;
    previews::control_images(samples)?;
    Ok(())
}

/// Checks that held-out pictures are there and leave some to train on.
fn check_pictures(recipe: &Recipe) -> Result<(), TrainError> {
    // A dataset that cannot be opened has its own report.
    let Ok(dataset) = Dataset::open(Path::new(""), &recipe.dataset, &recipe.regions()) else { return Ok(()) };
    choose_training(&dataset, recipe)?;
    Ok(())
}
