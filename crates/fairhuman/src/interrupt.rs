//! Ctrl-C, and the signals of schedulers and closed terminals (SIGTERM, SIGHUP): once to save and leave,
//! twice to leave at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::signals;

/// The exit code of an interrupted command, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// A flag that the first Ctrl-C (or SIGTERM, SIGHUP) sets; the second ends the process.
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
    let deaf = signals::hangup_is_ignored();
    ctrlc::set_handler(move || {
        if heard.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        errln!("\n{what}; Ctrl-C again leaves at once");
    })
    .context("cannot listen for Ctrl-C")?;
    if deaf {
        signals::ignore_hangup();
    }
    Ok(flag)
}
