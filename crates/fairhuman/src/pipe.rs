//! A reader that has seen enough.

/// Ends the process quietly when whoever reads its output goes away, as `| head` does: other commands do, but
/// Rust's runtime ignores the signal, so that `println!` would panic instead.
pub fn end_with_the_reader() {
    #[cfg(unix)]
    // SAFETY: the default action of a signal, set before there is another thread.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
