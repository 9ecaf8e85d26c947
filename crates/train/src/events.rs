//! `events.jsonl`: everything that happened in a run, one JSON object per line, in order.
//!
//! Lists with one entry per objective are in the order of `objectives` in the `start` event; matrices are
//! row-major. A number that is not finite is written as `null`.

mod log;

use std::collections::BTreeMap;
use std::path::PathBuf;

use fairhuman_fairness::Outcome;
use serde::{Deserialize, Serialize};

use crate::data::Variant;
pub use log::{EventLog, Resumed, has_checkpoint, read};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The command was started, or started again.
    Start(Start),
    /// A training step.
    Step(Box<Step>),
    /// Losses of held-out pictures.
    Validation(Validation),
    /// Pictures of the recipe's prompts.
    Samples {
        /// Steps done.
        step: u64,
        /// A file for each prompt, relative to the run folder.
        files: Vec<PathBuf>,
        /// Time it took.
        seconds: f64,
    },
    /// A checkpoint is in place.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Its file, relative to the run folder.
        file: PathBuf,
    },
    /// Something that a person should know.
    Note {
        /// Steps done.
        step: u64,
        /// The note.
        text: String,
    },
    /// The command ended normally.
    End {
        /// Steps done.
        step: u64,
        /// Why.
        reason: Reason,
        /// LoRA files or the model folder written, relative to the run folder.
        files: Vec<PathBuf>,
    },
}

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// All steps are done.
    Done,
    /// It was asked to stop; the same command goes on from here.
    Stopped,
    /// Too many steps in a row had to be refused.
    TooManyBadSteps,
}

/// The beginning of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Steps done before.
    pub step: u64,
    /// The step at which this command will end.
    pub until: u64,
    /// Names of the objectives.
    pub objectives: Vec<String>,
    /// Pictures that are trained on.
    pub training_samples: usize,
    /// Pictures that are held out.
    pub held_out: Vec<String>,
    /// Trained values.
    pub trained_values: usize,
    /// Captions of which the end was cut off, because they have more tokens than the text encoder takes.
    pub truncated_captions: usize,
    /// The held-out losses before the first step, where a run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_losses: Option<Vec<f64>>,
    /// Notes about the data for a person to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Version of this program.
    pub version: String,
    /// The machine, in words; empty where it is unknown.
    #[serde(default)]
    pub machine: String,
}

/// One training step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, from 1.
    pub step: u64,
    /// The step's effect on the parameters.
    pub outcome: StepOutcome,
    /// The pictures, by name.
    pub samples: Vec<String>,
    /// Their time steps.
    pub timesteps: Vec<usize>,
    /// Losses.
    #[serde(with = "finite")]
    pub losses: Vec<f64>,
    /// Fairness weights as the method gives them, 0 for absent objectives: their size follows that of the
    /// gradients. (The screen, TensorBoard and the report's fixed weights have them divided by their sum.)
    #[serde(with = "finite")]
    pub weights: Vec<f64>,
    /// Factor of the weights in the combined gradient, where there are weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The step of the newest Gram matrix that the weights follow from, where it is an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_of: Option<u64>,
    /// Rate at which each loss falls along the direction taken. This and the next two are empty in a step
    /// that made the gradient of a weighted sum alone.
    #[serde(with = "finite")]
    pub rates: Vec<f64>,
    /// Products of the objectives' gradients, `K x K`.
    #[serde(with = "finite")]
    pub gram: Vec<f64>,
    /// Their cosines, `K x K`: negative where two objectives conflict.
    #[serde(with = "finite")]
    pub cosines: Vec<f64>,
    /// Kind of solution that the weights are.
    pub solve: Option<Outcome>,
    /// Samples with pixels, per objective: its lanes. 0: absent.
    pub present: Vec<usize>,
    /// Share of the latent cells, per objective.
    #[serde(with = "finite")]
    pub area: Vec<f64>,
    /// Norm of the combined gradient before clipping.
    pub grad_norm: Option<f64>,
    /// Clipping factor of the gradient; 1: not clipped.
    pub clip: Option<f64>,
    /// Learning rate.
    pub learning_rate: f64,
    /// Where the time went.
    pub seconds: Seconds,
    /// The most memory that the process has held so far, in MiB; none where the system does not tell.
    #[serde(default)]
    pub peak_memory_mib: Option<f64>,
}

/// A step's effect on the parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// They were updated.
    Updated,
    /// No objective had pixels: there was nothing to learn.
    AllAbsent,
    /// Refused: something was not finite; the message names it and the pictures.
    Refused(String),
}

/// Seconds of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Reading, encoding and noising.
    pub data: f64,
    /// Forward passes.
    pub forward: f64,
    /// Backward passes.
    pub backward: f64,
    /// Gram matrix, weights, combination.
    pub solve: f64,
    /// Optimiser.
    pub update: f64,
    /// The whole step.
    pub total: f64,
}

/// Losses of held-out pictures, at fixed noise and time steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Steps done.
    pub step: u64,
    /// Losses, without min-SNR weighting; 0 for an objective without pixels.
    #[serde(with = "finite")]
    pub losses: Vec<f64>,
    /// Pairs of picture and noise with pixels, per objective.
    pub present: Vec<usize>,
    /// Loss of what no region covers; none where there are no regions. It is no objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<f64>,
    /// Losses of each picture (`validation.pictures`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<PictureLosses>,
    /// Time it took.
    pub seconds: f64,
    /// The same with other inputs: of a control network with the control images of other pictures, and
    /// without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<VariantLosses>,
    /// Figures about the trained values that say how far they have come, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, f64>,
}

/// The losses of one held-out picture, over all of its draws, as sums: those of several pictures together are
/// sums of squares over sums of elements. In the order of the objectives, then the background.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureLosses {
    /// The picture's name.
    pub name: String,
    /// Sums of scaled squared errors.
    #[serde(with = "finite")]
    pub squares: Vec<f64>,
    /// Elements that they are divided by; 0 for an objective without pixels.
    pub elements: Vec<f64>,
}

/// Held-out losses with other inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantLosses {
    /// The inputs, in words.
    pub name: String,
    /// Losses, per objective.
    #[serde(with = "finite")]
    pub losses: Vec<f64>,
}

impl Validation {
    /// Share by which the control image lowers each loss, against those of other pictures: 0 means that the
    /// network does not use it. None without a control network.
    pub fn control_gain(&self) -> Option<Vec<f64>> {
        let other = self.variants.iter().find(|variant| variant.name == Variant::Shuffled.name())?;
        let gain = |(&own, &other): (&f64, &f64)| if other > 0.0 { 1.0 - own / other } else { 0.0 };
        Some(self.losses.iter().zip(&other.losses).map(gain).collect())
    }
}

impl Event {
    /// The number of steps done when it happened.
    pub fn step(&self) -> u64 {
        match self {
            Event::Start(start) => start.step,
            Event::Step(step) => step.step,
            Event::Validation(validation) => validation.step,
            Event::Samples { step, .. }
            | Event::Checkpoint { step, .. }
            | Event::Note { step, .. }
            | Event::End { step, .. } => *step,
        }
    }
}
/// Lists of numbers in which JSON's `null` stands for NaN.
mod finite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        values.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Option<f64>>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(step: u64, losses: Vec<f64>, present: Vec<usize>) -> Validation {
        let (variants, measures, background, pictures) = Default::default();
        Validation { step, losses, present, background, pictures, seconds: 0.0, variants, measures }
    }

    #[test]
    fn a_number_that_is_not_finite_survives_as_nan() {
        let validation = validation(1, vec![1.5, f64::NAN], vec![1, 1]);
        let text = serde_json::to_string(&Event::Validation(validation)).unwrap();
        assert!(text.contains("[1.5,null]"), "{text}");
        let Event::Validation(back) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert!(back.losses[0] == 1.5 && back.losses[1].is_nan());
    }
}
