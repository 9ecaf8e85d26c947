//! Busy-waiting: workers that stay awake while a pass over the network runs.
//!
//! A pass is a thousand short parallel operations with a little work between them. Rayon's idle workers soon
//! sleep, and waking them costs time at every operation. OpenMP's workers, PyTorch's among them, keep looking
//! for work a while longer; ours do so until the pass ends.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Failed attempts to find work after which a worker may sleep after all. A worker can pick up a keep-awake
/// request while it waits, inside an operation, for a part that another worker took: without this limit, the
/// operation would wait for the pass and the pass for the operation.
const PATIENCE: usize = 1000;

thread_local! {
    /// Number of operations that this worker is inside of.
    static BEGUN: Cell<usize> = const { Cell::new(0) };
}

/// Guard: while held, this worker ignores keep-awake requests. Otherwise an operation that waits would wait
/// for as long as others have work, until the last of several pictures is done.
pub(super) struct InOperation(());

impl InOperation {
    pub(super) fn start() -> Self {
        BEGUN.set(BEGUN.get() + 1);
        Self(())
    }
}

impl Drop for InOperation {
    fn drop(&mut self) {
        BEGUN.set(BEGUN.get() - 1);
    }
}

/// Guard: while held, the other workers of the current pool look for work instead of falling asleep.
pub(super) struct KeepAwake<'a> {
    over: Arc<AtomicBool>,
    /// The pool's flag, set by one pass at a time.
    taken: &'a AtomicBool,
}

impl<'a> KeepAwake<'a> {
    /// None if the caller is not a worker, is the only one, or if the workers are kept awake already.
    pub(super) fn start(taken: &'a AtomicBool) -> Option<Self> {
        let caller = rayon::current_thread_index()?;
        if rayon::current_num_threads() < 2 || taken.swap(true, Ordering::Acquire) {
            return None;
        }
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        rayon::spawn_broadcast(move |worker| {
            if worker.index() == caller || BEGUN.get() > 0 {
                return;
            }
            let mut idle = 0;
            while idle < PATIENCE && !seen.load(Ordering::Relaxed) {
                if rayon::yield_now() == Some(rayon::Yield::Executed) {
                    idle = 0;
                } else {
                    idle += 1;
                    // Other programs may need the core.
                    std::thread::yield_now();
                }
            }
        });
        Some(Self { over, taken })
    }
}

impl Drop for KeepAwake<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::{InOperation, KeepAwake};
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    /// Work that does not end until `over`, or until there has been too much of it.
    fn work<'s>(scope: &rayon::Scope<'s>, over: &'s AtomicBool, left: &'s AtomicU32) {
        if !over.load(SeqCst) && left.fetch_sub(1, SeqCst) > 1 {
            scope.spawn(move |scope| work(scope, over, left));
        }
    }

    /// One worker requests busy-waiting while the other is inside an operation and there is enough work.
    #[test]
    fn a_worker_returns_to_the_operation_it_has_begun() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        let [taken, begun, asked, returned] = [const { AtomicBool::new(false) }; 4];
        let left = AtomicU32::new(2_000_000);
        pool.scope(|scope| {
            scope.spawn(|_| {
                let _busy = InOperation::start();
                begun.store(true, SeqCst);
                while !asked.load(SeqCst) {
                    std::thread::yield_now();
                }
                rayon::yield_now();
                returned.store(true, SeqCst);
            });
            while !begun.load(SeqCst) {
                std::thread::yield_now();
            }
            let awake = KeepAwake::start(&taken);
            assert!(awake.is_some());
            work(scope, &returned, &left);
            asked.store(true, SeqCst);
            while !returned.load(SeqCst) && left.load(SeqCst) > 0 {
                std::thread::yield_now();
            }
            assert!(returned.load(SeqCst), "the operation waits for the end of the pass");
        });
    }
}
