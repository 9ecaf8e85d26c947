//! The next step's pictures, read by a thread of their own while a step is computed. Never more than one step
//! ahead, so that the memory is bounded.

use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle};

/// Work for a step that has not begun.
pub(super) struct Prefetch<T> {
    ahead: Option<(u64, JoinHandle<T>)>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { ahead: None }
    }

    /// Begins the work for `step` after that of an earlier one has ended. Where no thread can be had, nothing
    /// is done ahead.
    pub fn begin(&mut self, step: u64, work: impl FnOnce() -> T + Send + 'static) {
        self.wait();
        let thread = Builder::new().name(format!("data of step {step}")).spawn(work);
        self.ahead = thread.ok().map(|thread| (step, thread));
    }

    /// The result for `step`, which is waited for; none if it was not begun.
    pub fn take(&mut self, step: u64) -> Option<T> {
        let (_, thread) = self.ahead.take_if(|(ahead, _)| *ahead == step)?;
        Some(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl<T> Prefetch<T> {
    /// Waits for work that nobody asked for. A panic in it is as unwanted as its result.
    fn wait(&mut self) {
        if let Some((_, thread)) = self.ahead.take() {
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_step_gets_what_was_begun_for_it_and_nothing_else() {
        let mut prefetch = Prefetch::new();
        assert_eq!(prefetch.take(1), None);
        prefetch.begin(2, || "two");
        assert_eq!(prefetch.take(3), None);
        assert_eq!(prefetch.take(2), Some("two"));
        assert_eq!(prefetch.take(2), None);
    }

    #[test]
    fn one_step_is_in_work_at_a_time_and_the_last_one_ends_with_it() {
        let (sender, receiver) = mpsc::channel();
        let mut prefetch = Prefetch::new();
        for step in 1..=3 {
            let sender = sender.clone();
            prefetch.begin(step, move || {
                for part in 0..100 {
                    sender.send((step, part)).expect("the test listens");
                }
            });
        }
        drop((prefetch, sender));
        let seen: Vec<_> = receiver.iter().collect();
        let expected: Vec<_> = (1..=3).flat_map(|step| (0..100).map(move |part| (step, part))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    #[should_panic(expected = "of the step")]
    fn a_panic_is_the_step_s_own() {
        let mut prefetch = Prefetch::new();
        prefetch.begin(1, || panic!("of the step"));
        prefetch.take(1);
    }
}
