//! Work that can be counted, on the screen: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::units::{duration, short};

/// Time between lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts on stderr, from any thread.
pub struct Meter {
    bar: ProgressBar,
    terminal: bool,
    unit: &'static str,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    spoke: Instant,
    worked: usize,
}

impl Meter {
    /// Begins to count things called `unit`, in the plural.
    pub fn new(unit: &'static str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if terminal {
            let template = format!("{{bar:24}} {{pos}}/{{len}} {unit} {{msg}}");
            // The template is valid; the default style is as good a reaction as any.
            bar.set_style(
                ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let now = Instant::now();
        Self { bar, terminal, unit, state: Mutex::new(State { began: now, spoke: now, worked: 0 }) }
    }

    /// `done` of `total` are done. `worked`: whether the last one took work, and counts for the rate.
    pub fn advance(&self, done: usize, total: usize, worked: bool) {
        self.advance_by(done, total, usize::from(worked));
    }

    /// `done` of `total` are done. `worked`: those of the last ones that took work, and count for the rate.
    pub fn advance_by(&self, done: usize, total: usize, worked: usize) {
        let line = {
            let Ok(mut state) = self.state.lock() else { return };
            state.worked += worked;
            let rate = state.worked as f64 / state.began.elapsed().as_secs_f64().max(1e-9);
            let left = (total - done.min(total)) as f64 / rate;
            let pace = match state.worked {
                0 => String::new(),
                _ => format!("{} {}/s, {} left", short(rate), self.unit, duration(left)),
            };
            if self.terminal {
                self.bar.set_length(total as u64);
                self.bar.set_position(done as u64);
                self.bar.set_message(pace);
                return;
            }
            if state.spoke.elapsed() < PAUSE {
                return;
            }
            state.spoke = Instant::now();
            format!("{done}/{total} {} {pace}", self.unit)
        };
        errln!("{line}");
    }

    /// The work on the thing that is being done: beside the bar, or a line now and then.
    pub fn detail(&self, line: &str) {
        if self.terminal {
            self.bar.set_message(line.to_owned());
            return;
        }
        let due = self.state.lock().is_ok_and(|mut state| {
            let due = state.spoke.elapsed() >= PAUSE;
            if due {
                state.spoke = Instant::now();
            }
            due
        });
        if due {
            errln!("{line}");
        }
    }

    /// A line above the bar.
    pub fn say(&self, line: &str) {
        if self.terminal { self.bar.suspend(|| errln!("{line}")) } else { errln!("{line}") }
    }

    /// Takes the bar away; seconds that passed.
    pub fn finish(&self) -> f64 {
        self.bar.finish_and_clear();
        self.state.lock().map_or(0.0, |state| state.began.elapsed().as_secs_f64())
    }
}
