//! Diversity of the pictures of one prompt: what a model that has learnt a few pictures by heart loses.

use std::collections::BTreeMap;

use crate::clip::cosine;
use crate::picture_set::{PictureSet, unit};

/// For each prompt with several pictures, the mean of one minus the cosine of the features of each pair.
pub fn diversity<'a>(set: &'a PictureSet, features: &[Vec<f32>]) -> Vec<(&'a str, f64)> {
    let mut prompts: BTreeMap<&str, Vec<&Vec<f32>>> = BTreeMap::new();
    for (picture, row) in set.pictures.iter().zip(features) {
        prompts.entry(unit(picture)).or_default().push(row);
    }
    let distance = |rows: &[&Vec<f32>]| {
        let pairs = (0..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let one = |(i, j): (usize, usize)| {
            let (a, b): (&[f32], &[f32]) = (rows[i], rows[j]);
            1.0 - cosine(a, b) / (cosine(a, a) * cosine(b, b)).sqrt()
        };
        let distances: Vec<f64> = pairs.map(one).collect();
        distances.iter().sum::<f64>() / distances.len() as f64
    };
    let several = prompts.into_iter().filter(|(_, rows)| rows.len() > 1);
    several.map(|(prompt, rows)| (prompt, distance(&rows))).collect()
}
