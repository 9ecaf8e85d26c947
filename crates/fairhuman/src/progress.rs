//! Training on the screen: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use fairhuman_train::events::{Event, Start, Step, StepOutcome, Validation};
use fairhuman_train::train::Reporter;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::units::{change, count, duration, listed, short};

/// Seconds between lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Width of a terminal that does not tell.
const COLUMNS: usize = 80;
/// Width of the bar.
const BAR: usize = 10;
/// The mark between losses and weights.
const WEIGHTS: &str = "; weights (sum 1) ";

/// Steps after which their rate says something: the first ones have more to do.
const ENOUGH: u64 = 4;

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
        self.held_out.clone_from(&start.first_losses);
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
            let style = ProgressStyle::with_template(&format!(
                "{{eta}} left {{bar:{BAR}}} {{pos}}/{{len}} {{wide_msg}}"
            ));
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
        let line = numbers(&self.objectives, step);
        if self.terminal {
            let width =
                terminal_size::terminal_size_of(std::io::stderr()).map_or(COLUMNS, |(w, _)| w.0.into());
            self.bar.set_message(short_enough(line, width.saturating_sub(self.bar_width())));
            self.bar.set_position(step.step);
            return;
        }
        let last = step.step == self.until;
        if last || self.spoke.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.spoke = Some(Instant::now());
            let made = step.step - self.first;
            let rate = made as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
            let pace = match made < ENOUGH && !last {
                true => String::new(),
                false => {
                    let left = duration((self.until - step.step) as f64 / rate);
                    format!(", {left} left, {} steps/s", short(rate))
                }
            };
            self.say(&format!("step {}/{}{pace}: {line}", step.step, self.until));
        }
    }

    /// Columns that the bar takes before its message: `59m left ########## 1234/2000 `.
    fn bar_width(&self) -> usize {
        let digits = self.until.to_string().len();
        "59m left ".len() + BAR + " ".len() + 2 * digits + "/ ".len()
    }

    fn validation(&mut self, validation: &Validation) {
        let Validation { step, losses, .. } = validation;
        let since = match &self.held_out {
            None => String::new(),
            Some(before) => {
                let percent = |(now, before): (&f64, &f64)| change(now / before - 1.0, 2);
                let list: Vec<String> = losses.iter().zip(before).map(percent).collect();
                format!(" ({} since the first)", list.join(", "))
            }
        };
        self.say(&format!("held out, step {step}: {}{since}", listed(&self.objectives, losses)));
        if let Some(gain) = validation.control_gain() {
            let gains = self.objectives.iter().zip(&gain);
            let gains: Vec<String> =
                gains.map(|(name, gain)| format!("{name} {}", change(-gain, 2))).collect();
            let measures = validation.measures.iter().map(|(name, value)| format!("; {name} {value:.3}"));
            let measures: String = measures.collect();
            self.say(&format!(
                "with the right control image rather than a wrong one, step {step}: {}{measures}",
                gains.join(", ")
            ));
        }
        self.held_out.get_or_insert_with(|| losses.clone());
    }
}

/// A step's line without its end where there is no room: losses are what is looked at.
fn short_enough(line: String, room: usize) -> String {
    if line.chars().count() <= room {
        return line;
    }
    let losses = line.split(WEIGHTS).next().unwrap_or_default();
    losses.strip_prefix("loss ").filter(|_| losses.chars().count() > room).unwrap_or(losses).to_owned()
}

/// The losses of a step, and the weights divided by their sum, as in the report's fixed ones: an objective
/// that was absent has neither, and a single one needs no weight.
fn numbers(objectives: &[String], step: &Step) -> String {
    let is_present = |k: usize| step.present.get(k).is_none_or(|&lanes| lanes > 0);
    let shown = |k: usize, value: f64| if is_present(k) { short(value) } else { "-".to_owned() };
    let losses = objectives.iter().zip(&step.losses).enumerate();
    let losses: Vec<String> = losses.map(|(k, (name, &loss))| format!("{name} {}", shown(k, loss))).collect();
    let sum = step.weights.iter().sum::<f64>();
    let weights = step.weights.iter().enumerate().map(|(k, &weight)| shown(k, weight / sum));
    match objectives.len() > 1 && sum > 0.0 {
        true => {
            let of = step.weights_of.map(|step| format!(" (of step {step})")).unwrap_or_default();
            let weights: Vec<String> = weights.collect();
            format!("loss {}{WEIGHTS}{}{of}", losses.join(", "), weights.join(" "))
        }
        false => format!("loss {}", losses.join(", ")),
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

#[cfg(test)]
mod tests {
    use fairhuman_train::events::Seconds;

    use super::*;

    #[test]
    fn a_step_fits_80_columns_with_the_time_left_first() {
        let line =
            "loss global 0.0512, face 0.000132, hand 0.00514; weights (sum 1) 0.167 0.400 0.433".to_owned();
        let mut screen = Screen::new();
        screen.until = 2000;
        let room = COLUMNS - screen.bar_width();
        let shown = short_enough(line.clone(), room);
        assert_eq!(shown, "loss global 0.0512, face 0.000132, hand 0.00514");
        assert_eq!(short_enough(line.clone(), 45), "global 0.0512, face 0.000132, hand 0.00514");
        assert!(screen.bar_width() + shown.len() <= 80);
        assert_eq!(short_enough(line.clone(), 60), line.split(';').next().unwrap());
        assert_eq!(short_enough(line.clone(), 120), line);
    }

    #[test]
    fn what_is_absent_has_no_number() {
        let step = |weights: &[f64], present: &[usize]| Step {
            factor: None,
            weights_of: None,
            losses: vec![0.5, 0.0],
            weights: weights.to_vec(),
            present: present.to_vec(),
            step: 1,
            outcome: StepOutcome::Updated,
            samples: Vec::new(),
            timesteps: Vec::new(),
            rates: Vec::new(),
            gram: Vec::new(),
            cosines: Vec::new(),
            solve: None,
            area: Vec::new(),
            grad_norm: None,
            clip: None,
            learning_rate: 0.0,
            seconds: Seconds::default(),
            peak_memory_mib: None,
        };
        let names = ["global".to_owned(), "hand".to_owned()];
        assert_eq!(
            numbers(&names, &step(&[30.0, 0.0], &[4, 0])),
            "loss global 0.500, hand -; weights (sum 1) 1.00 -"
        );
        assert_eq!(
            numbers(&names, &step(&[3.0, 1.0], &[4, 1])),
            "loss global 0.500, hand 0; weights (sum 1) 0.750 0.250"
        );
        assert_eq!(numbers(&names[..1], &step(&[30.0], &[4])), "loss global 0.500");
        let between = Step { weights_of: Some(11), ..step(&[3.0, 1.0], &[4, 1]) };
        assert!(numbers(&names, &between).ends_with("0.750 0.250 (of step 11)"));
    }
}
