//! Which pictures are trained on, in which order, and which are held out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

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

/// Indices of the held-out samples, ascending. A picture that is listed several times (with a caption each,
/// or in two subsets) is held out with all its listings: trained on in one of them, it would not be unseen.
fn choose_held_out(dataset: &Dataset, recipe: &Recipe) -> Result<Vec<usize>, DataError> {
    let pictures = listings(dataset);
    let chosen: Vec<usize> = match &recipe.validation.samples {
        Some(names) => {
            let find = |name: &PathBuf| {
                let is_named = |&i: &usize| dataset.item(i).image == *name;
                pictures.iter().position(|listed| listed.iter().any(is_named)).ok_or_else(|| {
                    let name = name.display();
                    DataError::Problem(format!(
                        "validation.samples: the dataset has no picture \"{name}\"; names are as the dataset lists them, \
                         such as \"{}\"",
                        dataset.item(0).image.display()
                    ))
                })
            };
            names.iter().map(find).collect::<Result<_, _>>()?
        }
        None => {
            let share = recipe.validation.share.unwrap_or(0.0);
            // A share that was asked for is at least one picture.
            let count =
                if share > 0.0 { ((share * pictures.len() as f64).round() as usize).max(1) } else { 0 };
            held_out(recipe.validation.seed, pictures.len(), count)
        }
    };
    let mut list: Vec<usize> = chosen.into_iter().flat_map(|picture| pictures[picture].clone()).collect();
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

/// The pictures in the order of the dataset, each as the indices under which it is listed.
fn listings(dataset: &Dataset) -> Vec<Vec<usize>> {
    let mut pictures: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<&Path, usize> = HashMap::new();
    for (i, item) in dataset.items().iter().enumerate() {
        let name = item.image.strip_prefix(".").unwrap_or(&item.image);
        let picture = *known.entry(name).or_insert(pictures.len());
        match pictures.get_mut(picture) {
            Some(listed) => listed.push(i),
            None => pictures.push(vec![i]),
        }
    }
    pictures
}
