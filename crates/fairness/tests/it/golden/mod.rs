//! One row for each weighting: golden weights and what the method claims. `every.rs` tests the claims.

mod gram;
mod losses;

use crate::common::*;
use fairhuman_fairness::{Observation, State, Weighting, weigh};

/// A weighting with the weights that it must give in step 1 of a run with seed 0.
pub struct Row {
    /// Its settings as in a recipe, for a number of objectives.
    pub settings: fn(usize) -> String,
    /// Weights for the matrices A to F with [`losses`], from `reference/weightings_golden.py` (12 digits).
    pub golden: [&'static [f64]; 6],
    /// Gradients c times as long get weights `c^power` times as large.
    pub power: f64,
    /// True if the weights move with the objectives when those are listed in another order.
    pub equivariant: bool,
    /// True if weights may be negative.
    pub signed: bool,
    /// True if no loss rises along the direction, whatever the gradients.
    pub descends: bool,
}

/// The rows of all weightings.
pub fn table() -> impl Iterator<Item = &'static Row> {
    gram::ROWS.iter().chain(losses::ROWS)
}

/// The matrices A to F of the golden weights.
pub fn golden_matrices() -> [Vec<f64>; 6] {
    [
        // Orthogonal.
        vec![1.0, 0.0, 0.0, 4.0],
        // Max-min needs the first alone.
        vec![1.0, 1.2, 1.2, 4.0],
        // A conflict with cosine -1/2.
        vec![1.0, -1.0, -1.0, 4.0],
        // Picture, face and hand.
        vec![1.0, 0.0, 0.0, 0.0, 0.09, 0.0, 0.0, 0.0, 0.01],
        // The first step of a training run.
        vec![0.002657, 0.003959, 0.001619, 0.003959, 0.06293, 0.001105, 0.001619, 0.001105, 0.03165],
        // A conflict of three.
        vec![1.0, -0.3, 0.2, -0.3, 0.5, -0.4, 0.2, -0.4, 0.8],
    ]
}

/// Losses to go with any matrix.
pub fn losses(k: usize) -> Vec<f64> {
    match k {
        2 => vec![0.5, 2.0],
        3 => vec![0.2616, 0.7792, 0.5058],
        k => (0..k).map(|i| 0.2 + 0.1 * (i % 7) as f64).collect(),
    }
}

impl Row {
    pub fn weighting(&self, k: usize) -> Weighting {
        parse(&(self.settings)(k))
    }
}

/// The weighting with these settings, as in a recipe.
fn parse(settings: &str) -> Weighting {
    #[derive(serde::Deserialize)]
    struct Recipe {
        weighting: Weighting,
    }
    let text = format!("weighting = {{ {settings} }}");
    toml::from_str::<Recipe>(&text).unwrap_or_else(|e| panic!("{text}: {e}")).weighting
}

#[test]
fn every_weighting_has_a_row() {
    for kind in Weighting::KINDS {
        assert!(table().any(|row| row.weighting(3).kind() == *kind), "no row for {kind}");
    }
}

#[test]
fn weights_are_the_golden_ones() {
    for row in table() {
        for (values, expected) in golden_matrices().iter().zip(row.golden) {
            let weighting = row.weighting(expected.len());
            let (gram, losses) = (gram(values.clone()), losses(expected.len()));
            let seen = Observation { gram: &gram, losses: &losses, seed: 0, step: 1 };
            let found = weigh(&weighting, &seen, &mut State::default()).unwrap().weights;
            let error = difference(&found, expected);
            assert!(error < 1e-11, "{weighting:?}, {values:?}: {found:?}, not {expected:?} ({error:e})");
        }
    }
}
