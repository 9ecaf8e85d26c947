//! A run's events as TensorBoard reads them: `RUN/tensorboard/events.out.tfevents.*`.
//!
//! A command that goes on with a run begins a file of its own, whose first record tells TensorBoard to forget
//! the steps that are made again.

mod protobuf;
mod record;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use fairhuman_train::events::{Event, Start, Step, StepOutcome, Validation};
use fairhuman_train::folder::TENSORBOARD;
use fairhuman_train::recipe::Recipe;

use crate::clock;
use protobuf::Value;

/// Writes events to TensorBoard's file. The first error ends it: training goes on without.
pub struct TensorBoard {
    run: PathBuf,
    file: Option<Box<dyn Write>>,
    objectives: Vec<String>,
    prompts: Vec<String>,
    /// The first error, to be told.
    problem: Option<String>,
}

impl TensorBoard {
    /// The log of a run. Its file is opened when the run has started and its folder is its own.
    pub fn new(recipe: &Recipe) -> Self {
        let prompts = recipe.samples.as_ref().map(|samples| samples.prompts.clone()).unwrap_or_default();
        Self { run: recipe.out.clone(), file: None, objectives: Vec::new(), prompts, problem: None }
    }

    /// Writes an event.
    pub fn event(&mut self, event: &Event) {
        let (step, values) = match event {
            Event::Start(start) => return self.start(start),
            Event::Step(step) => (step.step, self.of_step(step)),
            Event::Validation(validation) => (validation.step, self.of_validation(validation)),
            Event::Samples { step, files, .. } => (*step, self.of_samples(files)),
            Event::Note { step, text } => (*step, vec![("notes".to_owned(), Value::Text(text.clone()))]),
            Event::Checkpoint { .. } | Event::End { .. } => return,
        };
        if !values.is_empty() {
            self.write(&protobuf::summary(clock::seconds(), step, &values));
        }
    }

    /// The error that ended it, once.
    pub fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }

    fn start(&mut self, start: &Start) {
        self.objectives.clone_from(&start.objectives);
        match open(&self.run) {
            Ok(file) => self.file = Some(file),
            Err(error) => self.problem = Some(format!("{}: {error}", place(&self.run).display())),
        }
        // Everything from this step on is made again.
        self.write(&protobuf::session_start(clock::seconds(), start.step + 1));
    }

    fn of_step(&self, step: &Step) -> Vec<(String, Value)> {
        if step.outcome != StepOutcome::Updated {
            return Vec::new();
        }
        let is_present = |k: usize| step.present.get(k).is_none_or(|&lanes| lanes > 0);
        // As on the screen and in the report's fixed weights.
        let sum = step.weights.iter().sum::<f64>();
        let mut values = Vec::new();
        let mut add = |tag: String, value: f64| values.push((tag, Value::Scalar(value as f32)));
        for (k, name) in self.objectives.iter().enumerate().filter(|(k, _)| is_present(*k)) {
            if let Some(&loss) = step.losses.get(k) {
                add(format!("loss/{name}"), loss);
            }
            if let Some(&weight) = step.weights.get(k).filter(|_| sum > 0.0) {
                add(format!("weight/{name}"), weight / sum);
            }
        }
        let count = self.objectives.len();
        for (a, b) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
            if let Some(&cosine) = step.cosines.get(a * count + b).filter(|_| is_present(a) && is_present(b))
            {
                add(format!("conflict/{}-{}", self.objectives[a], self.objectives[b]), cosine);
            }
        }
        add("lr/unet".to_owned(), step.learning_rate);
        step.grad_norm.into_iter().for_each(|norm| add("norm/gradient".to_owned(), norm));
        add("seconds/step".to_owned(), step.seconds.total);
        values
    }

    fn of_validation(&self, validation: &Validation) -> Vec<(String, Value)> {
        let losses = self.objectives.iter().zip(&validation.losses).zip(&validation.present);
        let losses = losses.filter(|(_, present)| **present > 0);
        let losses = losses.map(|((name, &loss), _)| (format!("held_out/{name}"), loss));
        let background = validation.background.map(|loss| ("held_out/background".to_owned(), loss));
        losses.chain(background).map(|(tag, loss)| (tag, Value::Scalar(loss as f32))).collect()
    }

    fn of_samples(&self, files: &[PathBuf]) -> Vec<(String, Value)> {
        let picture = |(i, file): (usize, &PathBuf)| {
            // A picture that is gone is no reason to end.
            let png = fairhuman_files::read(self.run.join(file)).ok()?;
            let name = self.prompts.get(i).cloned().unwrap_or_else(|| i.to_string());
            Some((format!("samples/{name}"), Value::Picture(png)))
        };
        files.iter().enumerate().filter_map(picture).collect()
    }

    fn write(&mut self, event: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = record::write(file, event) {
            self.file = None;
            self.problem =
                Some(format!("{}: {error}; the log for TensorBoard ends here", place(&self.run).display()));
        }
    }
}

/// A new file in a run's folder, with its first record.
fn open(run: &Path) -> std::io::Result<Box<dyn Write>> {
    let folder = place(run);
    fairhuman_files::make_folder(&folder)?;
    // Readers take files in the order of their names.
    let (time, process) = (clock::seconds(), std::process::id());
    let (seconds, thousandths) = (time as u64, (time.fract() * 1000.0) as u64);
    let path = folder.join(format!("events.out.tfevents.{seconds}.{thousandths:03}.fairhuman.{process}"));
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    record::write(&mut file, &protobuf::version(clock::seconds()))?;
    Ok(Box::new(file))
}

fn place(run: &Path) -> PathBuf {
    run.join(TENSORBOARD)
}
