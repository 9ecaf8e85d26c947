//! A fence around libraries that panic on damaged files, where ours must report them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::diagnostic::Diagnostic;
use crate::paths::cannot_read;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Reads a file by `read`; a panic in it is a damaged file, and prints nothing.
pub(crate) fn guarded<T>(read: impl FnOnce() -> Result<T, Diagnostic>) -> Result<T, Diagnostic> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                hook(panic);
            }
        }));
    });
    let before = GUARDED.replace(true);
    // What `read` changes is thrown away with the file's items.
    let result = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    result.unwrap_or_else(|_| Err(cannot_read("it is damaged: its parts contradict each other")))
}
