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

/// Calls `interrupt` when the window of the process is closed, the user leaves or the machine is shut down,
/// for which Windows has no signal. It ends the process when its handler returns, or some seconds later: this
/// one does not return, so that a training has these seconds to save in.
#[cfg(windows)]
pub fn on_closed_window(interrupt: fn()) {
    use std::sync::OnceLock;
    use std::time::Duration;

    use windows_sys::Win32::System::Console::{
        CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT, SetConsoleCtrlHandler,
    };
    use windows_sys::core::BOOL;

    static INTERRUPT: OnceLock<fn()> = OnceLock::new();

    extern "system" fn handler(event: u32) -> BOOL {
        if !matches!(event, CTRL_CLOSE_EVENT | CTRL_LOGOFF_EVENT | CTRL_SHUTDOWN_EVENT) {
            return 0;
        }
        if let Some(interrupt) = INTERRUPT.get() {
            interrupt();
        }
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    INTERRUPT.get_or_init(|| interrupt);
    // SAFETY: the handler has the declared form and lives as long as the process. The last one to be set is
    // the first to be called.
    unsafe {
        SetConsoleCtrlHandler(Some(handler), 1);
    }
}

/// Elsewhere a closed window is a signal.
#[cfg(not(windows))]
pub fn on_closed_window(_interrupt: fn()) {}
