//! `kind = "replay"`: the weights of another run, in order or shuffled, as a control experiment. Shuffled
//! weights have the distribution of the other run's and know nothing of the step that they are used in: where
//! they do as well, it was not the weights of the moment that helped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairhuman_fairness::{Observation, Solution};
use serde::{Deserialize, Serialize};

use crate::cache::Key;
use crate::events::{self, Event};
use crate::random::{Purpose, permutation, stream};

/// `weighting = { kind = "replay", run = "runs/mpd", shuffle = true }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "replay", deny_unknown_fields)]
pub struct Replay {
    /// The folder of the other run, with the same objectives. Step t uses its weights of step t, beginning
    /// again at its end.
    pub run: PathBuf,
    /// True: they come in a random order, another one in each round; a function of the seed.
    #[serde(default)]
    pub shuffle: bool,
    /// Digest of the other run's weights, by which a run that goes on knows that they are still the same.
    /// Resolved recipes have it; default: that of the weights that are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The coefficients of each of its steps, in order; none for absent objectives.
    #[serde(skip)]
    steps: Arc<Vec<Vec<Option<f64>>>>,
}

impl Replay {
    /// Its name in recipes.
    pub const KIND: &'static str = "replay";

    /// Reads the weights of the other run, whose folder is relative to `base`.
    ///
    /// # Errors
    /// A run that cannot be read, has other objectives, or no weights.
    pub(super) fn read(&mut self, base: &Path, objectives: &[&str]) -> Result<(), String> {
        self.run = base.join(&self.run);
        let log = self.run.join("events.jsonl");
        let events = events::read(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let mut steps = Vec::new();
        for event in events {
            match event {
                Event::Start(start) if start.objectives != objectives => {
                    let (theirs, ours) = (start.objectives.join(", "), objectives.join(", "));
                    let run = self.run.display();
                    return Err(format!("the objectives of {run} are {theirs}; expected {ours}"));
                }
                Event::Step(step) if !step.weights.is_empty() => {
                    let factor = step.factor.unwrap_or(1.0);
                    let pairs = step.weights.iter().zip(&step.present);
                    steps.push(pairs.map(|(w, &lanes)| (lanes > 0).then_some(w * factor)).collect());
                }
                _ => {}
            }
        }
        if steps.is_empty() {
            return Err(format!("{} has no step with weights", self.run.display()));
        }
        let found = digest(&steps);
        if let Some(expected) = self.digest.as_ref().filter(|expected| **expected != found) {
            let run = self.run.display();
            return Err(format!(
                "the weights of {run} have the digest {found}, expected {expected}: its log has changed"
            ));
        }
        (self.digest, self.steps) = (Some(found), Arc::new(steps));
        Ok(())
    }

    /// The weights of a step: those of the other run's, or of the next one that has weights for all
    /// objectives that are present here.
    pub(super) fn weigh(&self, seen: &Observation<'_>) -> Result<Solution, String> {
        let count = self.steps.len() as u64;
        let (round, place) = match (seen.step.saturating_sub(1), count) {
            (_, 0) => return Err(format!("the weights of {} were not read", self.run.display())),
            (step, count) => (step / count, (step % count) as usize),
        };
        let order = match self.shuffle {
            true => permutation(&mut stream(seen.seed, Purpose::Replay, round, 0), self.steps.len()),
            false => (0..self.steps.len()).collect(),
        };
        let absent = seen.gram.absent();
        let fits = |weights: &&Vec<Option<f64>>| {
            weights.iter().zip(absent).all(|(w, &absent)| absent || w.is_some())
        };
        let mut from_here = order[place..].iter().chain(&order[..place]).map(|&step| &self.steps[step]);
        let weights = from_here.find(fits).ok_or_else(|| {
            let names = seen.gram.names().iter().zip(absent);
            let names: Vec<&str> =
                names.filter(|(_, absent)| !**absent).map(|(name, _)| name.as_str()).collect();
            let run = self.run.display();
            format!("no step of {run} has weights for all of {}", names.join(", "))
        })?;
        let weights: Vec<f64> = weights.iter().map(|w| w.unwrap_or_default()).collect();
        Ok(Solution::given(seen.gram, &weights, 1.0))
    }
}

fn digest(steps: &[Vec<Option<f64>>]) -> String {
    // JSON has null for absent objectives, and all digits of the others.
    let text = serde_json::to_vec(steps).unwrap_or_default();
    Key::new("replayed weights").with(&text).digits()
}
