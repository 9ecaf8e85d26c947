//! Workers that stay awake while a pass over the network runs.
//!
//! A pass is a thousand short parallel operations with a little work between them. Rayon's idle workers soon sleep, and
//! waking them costs time at every operation. OpenMP's workers, PyTorch's among them, look for work a while longer instead;
//! ours do so until the pass ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often a worker looks in vain before it may sleep after all. A worker can meet this inside of a task of its own, while that waits for the part that another worker took: without an end to its patience, the task would
/// wait for the pass and the pass for the task.
const PATIENCE: usize = 1000;

/// While it lives, the workers of the current pool, but for the calling one, look for work instead of falling asleep.
pub(super) struct Awake<'a> {
    over: Arc<AtomicBool>,
    /// The pool's, held by one pass at a time.
    taken: &'a AtomicBool,
}

impl<'a> Awake<'a> {
    /// None where the caller is no worker, is the only one, or where they are awake already.
    pub(super) fn start(taken: &'a AtomicBool) -> Option<Self> {
        let caller = rayon::current_thread_index()?;
        if rayon::current_num_threads() < 2 || taken.swap(true, Ordering::Acquire) {
            return None;
        }
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        rayon::spawn_broadcast(move |worker| {
            let mut idle = 0;
            while worker.index() != caller && idle < PATIENCE && !seen.load(Ordering::Relaxed) {
                if rayon::yield_now() == Some(rayon::Yield::Executed) {
                    idle = 0;
                } else {
                    idle += 1;
                    // Other programs may want the core.
                    std::thread::yield_now();
                }
            }
        });
        Some(Self { over, taken })
    }
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.taken.store(false, Ordering::Release);
    }
}
