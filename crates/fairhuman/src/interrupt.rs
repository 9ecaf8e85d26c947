//! Ctrl-C: once to save and leave, twice to leave at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// The exit code of an interrupted command, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// A flag that the first Ctrl-C sets; the second ends the process.
///
/// # Errors
/// If the system refuses the handler.
pub fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    flag_that_says("saving after this step")
}

/// As [`flag`], with other words for what happens now.
///
/// # Errors
/// If the system refuses the handler.
pub fn flag_that_says(what: &'static str) -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let heard = flag.clone();
    ctrlc::set_handler(move || {
        if heard.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("\n{what}; Ctrl-C again leaves at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(flag)
}
