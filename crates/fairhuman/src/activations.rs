//! Measures the memory that a forward pass keeps for the backward pass.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fairhuman_engine::Backend;
use fairhuman_engine::observe::{Observer, Op, Phase};

/// Watches a backend's memory during one step, and passes on what it is told.
pub struct Activations<'a, B> {
    backend: &'a B,
    next: Option<&'a dyn Observer>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes in use when the step began.
    before: Option<usize>,
    /// Bytes in use after the last operation of the forward pass.
    after: usize,
    /// True once the backward pass has begun: what runs forward from then on is a second pass.
    backward: bool,
}

impl<'a, B: Backend> Activations<'a, B> {
    pub fn new(backend: &'a B, next: Option<&'a dyn Observer>) -> Self {
        Self { backend, next, state: Mutex::default() }
    }

    /// A step is about to begin.
    pub fn restart(&self) {
        *self.state() = State::default();
    }

    /// MiB that the last forward pass saved.
    pub fn mib(&self) -> f64 {
        let state = self.state();
        state.after.saturating_sub(state.before.unwrap_or(state.after)) as f64 / f64::from(1 << 20)
    }

    /// Numbers are whole even where a thread has panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Backend> Observer for Activations<'_, B> {
    fn begin(&self) {
        self.state().before.get_or_insert_with(|| self.backend.bytes_in_use());
        if let Some(next) = self.next {
            next.begin();
        }
    }

    fn end(&self, phase: Phase, op: Op) {
        if let Some(next) = self.next {
            next.end(phase, op);
        }
        let mut state = self.state();
        match phase {
            Phase::Backward | Phase::Recompute => state.backward = true,
            Phase::Forward if !state.backward => state.after = self.backend.bytes_in_use(),
            Phase::Forward => {}
        }
    }
}
