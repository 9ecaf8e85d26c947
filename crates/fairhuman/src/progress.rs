//! Training on the screen: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use fairhuman_train::events::{Event, Start, Step, StepOutcome, Validation};
use fairhuman_train::train::Reporter;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::units::{count, duration, listed, short};

/// Seconds between lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Shows a run's events.
pub struct Screen {
    bar: ProgressBar,
    terminal: bool,
    objectives: Vec<String>,
    first: u64,
    until: u64,
    began: Instant,
    spoke: Option<Instant>,
    preparing: Option<Instant>,
    held_out: Option<Vec<f64>>,
}

impl Screen {
    /// On stderr.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            terminal,
            objectives: Vec::new(),
            first: 0,
            until: 0,
            began: Instant::now(),
            spoke: None,
            preparing: None,
            held_out: None,
        }
    }

    /// A line above the bar.
    fn say(&self, line: &str) {
        if self.terminal { self.bar.suspend(|| errln!("{line}")) } else { errln!("{line}") }
    }

    fn start(&mut self, start: &Start) {
        self.objectives.clone_from(&start.objectives);
        (self.first, self.until, self.began) = (start.step, start.until, Instant::now());
        let pictures = count(start.training_samples as u64, "picture");
        let samples = format!("{pictures}, {} held out", start.held_out.len());
        let values = start.trained_values as f64 / 1e6;
        let going =
            if start.step > 0 { format!("going on after step {}: ", start.step) } else { String::new() };
        self.say(&format!(
            "{going}{samples}; {values:.2} million trained values; objectives {}",
            start.objectives.join(", ")
        ));
        if start.truncated_captions > 0 {
            self.say(&format!(
                "note: captions longer than the text encoder reads, whose ends are cut off: {}",
                start.truncated_captions
            ));
        }
        for note in &start.notes {
            self.say(&format!("note: {note}"));
        }
        if self.terminal {
            self.bar = ProgressBar::new(start.until);
            // The template is constant and valid; the default style is as good a reaction as any.
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} {per_sec}, {eta} left");
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar.set_position(start.step);
            self.bar.reset_eta();
        }
    }

    fn step(&mut self, step: &Step) {
        if let StepOutcome::Refused(why) = &step.outcome {
            self.say(&format!("step {}: not taken, {why}", step.step));
            return self.bar.set_position(step.step);
        }
        let line = format!(
            "loss {} | weight {}",
            listed(&self.objectives, &step.losses),
            step.weights.iter().map(|w| short(*w)).collect::<Vec<_>>().join(" ")
        );
        if self.terminal {
            self.bar.set_message(line);
            self.bar.set_position(step.step);
            return;
        }
        let last = step.step == self.until;
        if last || self.spoke.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.spoke = Some(Instant::now());
            let rate = (step.step - self.first) as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
            let left = duration((self.until - step.step) as f64 / rate);
            self.say(&format!("step {}/{}: {line} | {rate:.2} steps/s, {left} left", step.step, self.until));
        }
    }

    fn validation(&mut self, validation: &Validation) {
        let Validation { step, losses, .. } = validation;
        let change = match &self.held_out {
            None => String::new(),
            Some(before) => {
                let percent = |(now, before): (&f64, &f64)| format!("{:+.2} %", 100.0 * (now / before - 1.0));
                let list: Vec<String> = losses.iter().zip(before).map(percent).collect();
                format!(" ({} since the first)", list.join(", "))
            }
        };
        self.say(&format!("held out, step {step}: {}{change}", listed(&self.objectives, losses)));
        if let Some(gain) = validation.control_gain() {
            let gains = self.objectives.iter().zip(&gain);
            let gains: Vec<String> =
                gains.map(|(name, gain)| format!("{name} {:.2} %", 100.0 * gain)).collect();
            let measures = validation.measures.iter().map(|(name, value)| format!("; {name} {value:.3}"));
            let measures: String = measures.collect();
            self.say(&format!(
                "the right control image lowers them, step {step}: {}{measures}",
                gains.join(", ")
            ));
        }
        self.held_out.get_or_insert_with(|| losses.clone());
    }
}

impl Reporter for Screen {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start(start) => self.start(start),
            Event::Step(step) => self.step(step),
            Event::Validation(validation) => self.validation(validation),
            Event::Samples { step, files, .. } => {
                if let Some(folder) = files.first().and_then(|file| file.parent()) {
                    self.say(&format!(
                        "pictures after step {step} in {} of the run folder",
                        folder.display()
                    ));
                }
            }
            Event::Checkpoint { .. } => {}
            Event::Note { text, .. } => self.say(&format!("note: {text}")),
            Event::End { .. } => self.bar.finish_and_clear(),
        }
    }

    fn preparing(&mut self, what: &str, done: usize, total: usize) {
        if self.preparing.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.preparing = Some(Instant::now());
            let count = if total > 1 { format!(" ({done}/{total})") } else { String::new() };
            self.say(&format!("{what}{count}"));
        }
    }
}
