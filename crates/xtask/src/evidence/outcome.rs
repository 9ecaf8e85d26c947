//! The outcome of a run: its held-out losses before and after training, picture by picture.

use anyhow::Context;
use serde_json::Value;

/// The losses that are compared, in the order of a log's lists; the last one has no weight in training.
pub(super) const LOSSES: [&str; 4] = ["global", "face", "hand", "background"];
/// Their number.
pub(super) const K: usize = LOSSES.len();

/// Sums of one picture: squared errors before and after training, and elements. The loss of several pictures
/// is the sum of their squares over the sum of their elements.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Picture {
    pub before: [f64; K],
    pub after: [f64; K],
}

/// Sums of squared errors of each held-out picture.
type Squares = Vec<[f64; K]>;

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// Its held-out pictures, in the same order in all runs of a world.
    pub pictures: Vec<Picture>,
}

/// The squared errors of each held-out picture before training, if the run measured them, and after it.
pub(super) fn squares(events: &[Value]) -> anyhow::Result<(Option<Squares>, Squares)> {
    let looks: Vec<&Value> = events.iter().filter(|event| event["event"] == "validation").collect();
    let first = looks.first().filter(|look| look["step"] == 0);
    let last = looks.last().filter(|look| look["step"] != 0).context("no losses after training")?;
    Ok((first.map(|look| of_pictures(look)).transpose()?, of_pictures(last)?))
}

fn of_pictures(look: &Value) -> anyhow::Result<Squares> {
    let pictures = look["pictures"].as_array().context("no losses of single pictures")?;
    let one = |picture: &Value| -> anyhow::Result<[f64; K]> {
        let mut squares = [0.0; K];
        for (k, square) in squares.iter_mut().enumerate() {
            *square = picture["squares"][k].as_f64().context("a loss that is no number")?;
        }
        Ok(squares)
    };
    pictures.iter().map(one).collect()
}

impl Outcome {
    /// Change of each loss by training, in per cent, over all pictures.
    pub fn change(&self) -> [f64; K] {
        self.change_over(0..self.pictures.len())
    }

    /// The same over the chosen pictures, each as often as it is named. All elements are alike in number, as
    /// the pictures have one size, so they cancel.
    pub fn change_over(&self, pictures: impl Iterator<Item = usize> + Clone) -> [f64; K] {
        std::array::from_fn(|k| {
            let sum = |of: fn(&Picture) -> &[f64; K]| -> f64 {
                pictures.clone().map(|i| of(&self.pictures[i])[k]).sum()
            };
            100.0 * (sum(|picture| &picture.after) / sum(|picture| &picture.before) - 1.0)
        })
    }
}
