//! The outcome of a run: its held-out losses before and after training, picture by picture.

use anyhow::{Context, ensure};
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

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// Its held-out pictures, in the same order in all runs of a world.
    pub pictures: Vec<Picture>,
    /// Median seconds of a step.
    pub step_seconds: f64,
}

impl Outcome {
    /// Reads a finished run's events; `start` are those of the run that measured the losses before training.
    pub fn read(start: &[Value], events: &[Value]) -> anyhow::Result<Self> {
        let looks = |events: &[Value]| -> Vec<Value> {
            events.iter().filter(|event| event["event"] == "validation").cloned().collect()
        };
        let (first, last) = (looks(start), looks(events));
        let first = first.first().filter(|look| look["step"] == 0).context("no losses before training")?;
        let last = last.last().filter(|look| look["step"] != 0).context("no losses after training")?;
        let sums = |look: &Value| -> anyhow::Result<Vec<[f64; K]>> {
            let pictures = look["pictures"].as_array().context("no losses of single pictures")?;
            let one = |picture: &Value| -> anyhow::Result<[f64; K]> {
                let mut squares = [0.0; K];
                for (k, square) in squares.iter_mut().enumerate() {
                    *square = picture["squares"][k].as_f64().context("a loss that is no number")?;
                }
                Ok(squares)
            };
            pictures.iter().map(one).collect()
        };
        let (before, after) = (sums(first)?, sums(last)?);
        ensure!(before.len() == after.len() && !before.is_empty(), "other pictures at the end");
        let pictures = before.into_iter().zip(after).map(|(before, after)| Picture { before, after });
        let mut seconds: Vec<f64> = events
            .iter()
            .filter(|event| event["event"] == "step")
            .filter_map(|step| step["seconds"]["total"].as_f64())
            .collect();
        seconds.sort_by(f64::total_cmp);
        let step_seconds = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
        Ok(Self { pictures: pictures.collect(), step_seconds })
    }

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
