//! The time in which a group has to come together, and words while it passes.

use std::time::Duration;

use crate::settings::Settings;

/// Repetitions of a line: after this many times the first wait.
const AGAIN: f64 = 6.0;

/// A wait with an end.
pub struct Patience<'s> {
    settings: &'s Settings,
    begin: f64,
    end: f64,
    /// The moment of the next line.
    next: f64,
}

impl<'s> Patience<'s> {
    /// A wait of so many seconds, from now on.
    pub fn new(settings: &'s Settings, seconds: f64) -> Self {
        let begin = (settings.clock)();
        Self { settings, begin, end: begin + seconds, next: begin + settings.missed_after }
    }

    /// Seconds waited.
    pub fn spent(&self) -> f64 {
        (self.settings.clock)() - self.begin
    }

    /// True once the time is over.
    pub fn is_over(&self) -> bool {
        (self.settings.clock)() >= self.end
    }

    /// Time until there is something to say, or the wait is over. Never zero, which sockets do not take.
    pub fn pause(&self) -> Duration {
        let seconds = self.next.min(self.end) - (self.settings.clock)();
        Duration::from_secs_f64(seconds.clamp(0.001, 3600.0))
    }

    /// Tells the user for whom this process waits, if it is time to.
    pub fn tell(&mut self, words: impl FnOnce() -> String) {
        let now = (self.settings.clock)();
        if now < self.next {
            return;
        }
        self.next = now + AGAIN * self.settings.missed_after;
        (self.settings.tell)(&format!("{}; gives up in {:.0} s", words(), (self.end - now).max(0.0)));
    }
}
