//! Where the time of training steps goes: their phases, which add up to them, and the operations within.

use fairhuman_engine::peak::Peak;
use fairhuman_train::events::Seconds;

use super::Profile;
use crate::units::count;

/// Sums over the steps of a command, but the first one, which touches memory for the first time and prepares
/// weights.
pub struct StepTimes<'a> {
    operations: &'a Profile,
    is_warm: bool,
    counted: u64,
    sums: Seconds,
}

impl<'a> StepTimes<'a> {
    /// None yet. `operations` observes the steps.
    pub fn new(operations: &'a Profile) -> Self {
        Self { operations, is_warm: false, counted: 0, sums: Seconds::default() }
    }

    /// A step was made.
    pub fn add(&mut self, step: &Seconds) {
        if !self.is_warm {
            self.is_warm = true;
            self.operations.clear();
            return;
        }
        self.counted += 1;
        let sums = &mut self.sums;
        for (sum, own) in [
            (&mut sums.data, step.data),
            (&mut sums.forward, step.forward),
            (&mut sums.backward, step.backward),
            (&mut sums.solve, step.solve),
            (&mut sums.update, step.update),
            (&mut sums.total, step.total),
        ] {
            *sum += own;
        }
    }

    /// The tables; none without a second step. `peak` measures the machine's.
    pub fn table(&self, peak: impl FnOnce() -> Option<Peak>) -> Option<String> {
        let Seconds { data, forward, backward, solve, update, total } = self.sums;
        if self.counted == 0 || total <= 0.0 {
            return None;
        }
        let steps = self.counted as f64;
        let mut text = format!(
            "{} of {:.4} s after the first, which warms up\n{:<12} {:>10} {:>10} {:>6}\n",
            count(self.counted, "step"),
            total / steps,
            "phase",
            "seconds",
            "ms a step",
            "share"
        );
        let known = data + forward + backward + solve + update;
        for (phase, seconds) in [
            ("data", data),
            ("forward", forward),
            ("backward", backward),
            ("solve", solve),
            ("optimiser", update),
            ("other", total - known),
            ("step", total),
        ] {
            let (each, share) = (1e3 * seconds / steps, 100.0 * seconds / total);
            text.push_str(&format!("{phase:<12} {seconds:>10.4} {each:>10.2} {share:>5.1}%\n"));
        }
        text.push('\n');
        text.push_str(&self.operations.table(usize::try_from(self.counted).ok()?, total / steps, peak()));
        Some(text)
    }
}
