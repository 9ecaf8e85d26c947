//! Which pictures are trained on, in which order, and which are held out.

use std::path::PathBuf;

use fairhuman_dataset::Dataset;

use super::DataError;
use crate::order::{Order, held_out};
use crate::recipe::Recipe;

/// The walk through the pictures that are trained on, each as often as its folder's repeats say.
pub(super) fn order(dataset: &Dataset, recipe: &Recipe, training: &[usize]) -> Order {
    let mut samples = dataset.epoch();
    samples.retain(|i| training.binary_search(i).is_ok());
    let size = |&i: &usize| recipe.geometry.target(dataset.item(i).size);
    let sizes = recipe.geometry.buckets.map(|_| samples.iter().map(size).collect());
    Order::new(recipe.seed, samples, sizes, (recipe.batch, recipe.accumulation))
}

/// Indices of the pictures that are trained on and of those that are held out, ascending.
pub(crate) fn choose_training(
    dataset: &Dataset,
    recipe: &Recipe,
) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    let held_out = choose_held_out(dataset, recipe)?;
    let training: Vec<usize> = (0..dataset.len()).filter(|i| held_out.binary_search(i).is_err()).collect();
    if training.is_empty() {
        let text = format!("all {} pictures are held out: none is left to train on", dataset.len());
        return Err(DataError::Problem(text));
    }
    if training.iter().all(|&i| dataset.item(i).weight == 0.0) {
        let text = "dataset.folders: every picture that is trained on has weight 0: nothing would be learnt";
        return Err(DataError::Problem(text.into()));
    }
    Ok((training, held_out))
}

/// Indices of the held-out samples, ascending.
fn choose_held_out(dataset: &Dataset, recipe: &Recipe) -> Result<Vec<usize>, DataError> {
    if let Some(names) = &recipe.validation.samples {
        let find = |name: &PathBuf| {
            dataset.items().iter().position(|item| item.image == *name).ok_or_else(|| {
                let name = name.display();
                DataError::Problem(format!(
                    "validation.samples: the dataset has no picture \"{name}\"; names are as the dataset lists them, \
                     such as \"{}\"",
                    dataset.item(0).image.display()
                ))
            })
        };
        let mut list = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        list.sort_unstable();
        list.dedup();
        return Ok(list);
    }
    let share = recipe.validation.share.unwrap_or(0.0);
    // A share that was asked for is at least one picture.
    let count = if share > 0.0 { ((share * dataset.len() as f64).round() as usize).max(1) } else { 0 };
    Ok(held_out(recipe.validation.seed, dataset.len(), count))
}
