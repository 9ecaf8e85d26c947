//! `events.jsonl`: everything that happened in a run, one JSON object per line, in order.
//!
//! Lists with one entry per objective are in the order of `objectives` in the `start` event; matrices are
//! row-major. A number that is not finite is written as `null`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use fairhuman_diffusion::weights::write_atomically;
use fairhuman_fairness::Outcome;
use fairhuman_files::ensure_file;
use serde::{Deserialize, Serialize};

use crate::data::Variant;

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
    /// Fairness weights, 0 for absent objectives.
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

/// The open log. Every line is handed to the system at once, so that it can be followed.
pub struct EventLog {
    file: File,
}

impl EventLog {
    /// Opens the log for a run with `step` steps done: what came later, and a last line cut off by a crash,
    /// are removed. A run without a step begins an empty log. Also what the log says of that step.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> io::Result<(Self, Resumed)> {
        let mut resumed = Resumed::default();
        ensure_file(path)?;
        if path.exists() {
            let mut kept = Vec::new();
            let mut lines = BufReader::new(File::open(path)?).split(b'\n').enumerate().peekable();
            while let Some((number, line)) = lines.next() {
                let line = line?;
                // Only the last line can be one that was never finished.
                let last = lines.peek().is_none();
                match serde_json::from_slice::<At>(&line) {
                    Err(_) if last => continue,
                    Ok(at) if at.step > step => continue,
                    Ok(at) if at.step == step => resumed.see(&line),
                    Ok(_) => {}
                    Err(_) => {
                        resumed.damaged.push(number + 1);
                        continue;
                    }
                }
                if step > 0 {
                    kept.extend_from_slice(&line);
                    kept.push(b'\n');
                }
            }
            write_atomically(path, &kept)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok((Self { file }, if step > 0 { resumed } else { Resumed::default() }))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The system's error.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event).map_err(io::Error::other)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// The system's error.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// True if the log at `path` tells of a checkpoint.
pub fn has_checkpoint(path: &Path) -> bool {
    let Ok(file) = ensure_file(path).and_then(|()| File::open(path)) else { return false };
    let events = BufReader::new(file).split(b'\n').map_while(Result::ok);
    events
        .flat_map(|line| serde_json::from_slice(&line))
        .any(|event| matches!(event, Event::Checkpoint { .. }))
}

/// The log's content about the step after which a run goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumed {
    /// True if the step's held-out losses are there.
    pub validated: bool,
    /// True if the step's previews are there.
    pub previewed: bool,
    /// Numbers of lines that are no events.
    pub damaged: Vec<usize>,
}

impl Resumed {
    fn see(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Event::Validation(_)) => self.validated = true,
            Ok(Event::Samples { .. }) => self.previewed = true,
            _ => {}
        }
    }
}

/// The one key that every line has.
#[derive(Deserialize)]
struct At {
    step: u64,
}

/// Reads a log; a last line that was cut off is left out.
///
/// # Errors
/// A file that cannot be read, a line that is no event.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    ensure_file(path)?;
    let text = std::fs::read_to_string(path)?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            let problem = format!("{} line {}: {e}", path.display(), i + 1);
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })
    };
    complete.lines().enumerate().map(parse).collect()
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

    fn checkpoint(step: u64) -> Event {
        Event::Checkpoint { step, file: format!("{step}").into() }
    }

    fn validation(step: u64, losses: Vec<f64>, present: Vec<usize>) -> Validation {
        let (variants, measures, background, pictures) = Default::default();
        Validation { step, losses, present, background, pictures, seconds: 0.0, variants, measures }
    }

    #[test]
    fn resuming_removes_what_came_later_and_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (mut log, _) = EventLog::resume(&path, 0).unwrap();
        (1..=5).for_each(|step| log.write(&checkpoint(step)).unwrap());
        log.file.write_all(b"{\"event\":\"step\",\"st").unwrap();
        assert_eq!(read(&path).unwrap().len(), 5);

        let (mut log, resumed) = EventLog::resume(&path, 3).unwrap();
        assert_eq!(resumed, Resumed::default());
        log.write(&checkpoint(4)).unwrap();
        assert_eq!(read(&path).unwrap(), (1..=4).map(checkpoint).collect::<Vec<_>>());
        EventLog::resume(&path, 0).unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }

    #[test]
    fn resuming_tells_what_the_step_has_and_which_lines_are_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (mut log, _) = EventLog::resume(&path, 0).unwrap();
        log.write(&checkpoint(1)).unwrap();
        log.file.write_all(b"{\"event\":\"ste\xff\x00\n").unwrap();
        let validation = validation(2, vec![1.5], vec![1]);
        log.write(&Event::Validation(validation)).unwrap();
        let (_, resumed) = EventLog::resume(&path, 2).unwrap();
        assert_eq!(resumed, Resumed { validated: true, previewed: false, damaged: vec![2] });
        assert_eq!(read(&path).unwrap().len(), 2, "the damaged line is gone");
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
