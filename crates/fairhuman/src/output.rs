//! Standard output and standard error, which may go away while a command works: a closed pipe, a closed
//! terminal, a full disk. Work goes on then, and nothing panics; a command whose result is what it prints
//! ends with an error.
//!
//! Control characters other than newlines and tabs are written as escapes: names of files and texts of
//! datasets must not reach a terminal as commands.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

/// The number of this process where it is one of several and not the first, and the beginnings of the lines
/// that it tells.
static RANK: OnceLock<(usize, &[&str])> = OnceLock::new();
/// On a screen that has the first process's lines, too.
const SHARED_SCREEN: &[&str] = &["error", "warning"];
/// On its own.
const OWN_SCREEN: &[&str] = &["error", "warning", "waits", "interrupted"];
/// The first error of standard output.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Writes a line to standard output.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::out(format_args!($($text)*), true) };
}

/// Writes text to standard output.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::out(format_args!($($text)*), false) };
}

/// Writes a line to standard error.
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::err(format_args!($($text)*)) };
}

/// Behind [`outln!`] and [`out!`].
pub fn out(text: fmt::Arguments<'_>, newline: bool) {
    if RANK.get().is_some() {
        return;
    }
    let mut text = visible(&text.to_string());
    if newline {
        text.push('\n');
    }
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        lost(&error);
    }
}

/// Behind [`errln!`].
pub fn err(text: fmt::Arguments<'_>) {
    let text = visible(&text.to_string());
    let text = match RANK.get() {
        None => text,
        Some((_, told)) if !told.iter().any(|word| text.trim_start().starts_with(word)) => return,
        Some((rank, _)) => {
            let lines = text.trim_start().lines().map(|line| format!("rank {rank}: {line}"));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    // Nobody is left to be told.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn lost(error: &io::Error) {
    if let Ok(mut lost) = LOST.lock() {
        lost.get_or_insert_with(|| format!("standard output was lost: {error}"));
    }
}

/// Says that this process is one of several. Only the first has the screen; the others tell their errors and
/// warnings, with their number before each line. On a screen of its own one also says that it waits, and that
/// it was interrupted.
pub fn speak_as(rank: usize, has_own_screen: bool) {
    if rank != 0 {
        RANK.get_or_init(|| (rank, if has_own_screen { OWN_SCREEN } else { SHARED_SCREEN }));
    }
}

/// The first error of standard output, if there was one.
pub fn failure() -> Option<String> {
    LOST.lock().ok().and_then(|lost| lost.clone())
}

/// Text without characters that a terminal would obey.
fn visible(text: &str) -> String {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(obeyed) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if obeyed(c) {
            // A string takes everything that is written to it.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(visible("a\u{1b}[2Jb\r\n\tc"), "a\\u{1b}[2Jb\\r\n\tc");
        assert_eq!(visible("caf\u{e9} \u{9b}31m"), "caf\u{e9} \\u{9b}31m");
    }
}
