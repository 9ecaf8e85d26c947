//! Ctrl-C, and the signals of schedulers and closed terminals (SIGTERM, SIGHUP): once to save and leave,
//! twice to leave at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context;

use crate::processes::leave;
use crate::signals;

/// The exit code of an interrupted command, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// The first signal's effect, once a command has said so: the flag that it sets, and the words for it.
static ASKED: OnceLock<(Arc<AtomicBool>, &'static str)> = OnceLock::new();

/// Listens for signals: until a command asks for a flag, the first one ends the process.
///
/// # Errors
/// If the system refuses the handler.
pub fn listen() -> anyhow::Result<()> {
    let deaf = signals::hangup_is_ignored();
    ctrlc::set_handler(interrupt).context("cannot listen for Ctrl-C")?;
    signals::on_closed_window(interrupt);
    if deaf {
        signals::ignore_hangup();
    }
    Ok(())
}

fn interrupt() {
    match ASKED.get() {
        Some((flag, words)) if !flag.swap(true, Ordering::SeqCst) => {
            errln!("\n{words}; Ctrl-C again leaves at once");
        }
        Some(_) => leave(INTERRUPTED),
        None => {
            errln!("\ninterrupted: the files that were written are whole");
            leave(INTERRUPTED);
        }
    }
}

/// A flag that the first Ctrl-C (or SIGTERM, SIGHUP) sets; the second ends the process.
pub fn flag() -> Arc<AtomicBool> {
    flag_that_says("saving after this step")
}

/// As [`flag`], with other words for what happens now. A process has one flag: the first one's.
pub fn flag_that_says(words: &'static str) -> Arc<AtomicBool> {
    ASKED.get_or_init(|| (Arc::default(), words)).0.clone()
}
