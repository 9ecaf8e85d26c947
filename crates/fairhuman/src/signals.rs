//! Signals that the system would end the process with, although an error of the write says it better.

/// Ignores the signal for files that outgrow `ulimit -f`: the write fails instead, and its error names the
/// file. (Rust ignores the signal of closed pipes already.)
pub fn prefer_errors() {
    #[cfg(unix)]
    // SAFETY: ignoring a signal, before there is another thread.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// True if the parent has made this process deaf to a closed terminal, as `nohup` does.
pub fn hangup_is_ignored() -> bool {
    #[cfg(unix)]
    {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: with a null pointer nothing is set, and the current action is written to `action`, which
        // zeros are a valid value of.
        unsafe {
            libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr());
            action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    }
    #[cfg(not(unix))]
    false
}

/// Ignores a closed terminal.
pub fn ignore_hangup() {
    #[cfg(unix)]
    // SAFETY: ignoring a signal needs nothing of the handler that it replaces.
    unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
    }
}
