//! A thread's scratch memory for what one task needs at a time.

use std::cell::RefCell;

/// Calls `run` with `len` values of scratch memory, whose contents are whatever was there before. Calls must
/// not nest.
pub(super) fn with_scratch<T>(len: usize, run: impl FnOnce(&mut [f32]) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        run(&mut scratch[..len])
    })
}
