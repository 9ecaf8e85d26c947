//! Commands under observation: their status, words and time, and whether they panicked.

use std::cell::Cell;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::NamedTempFile;

/// Commands that panicked, and all.
#[derive(Debug, Default)]
pub(super) struct Panics {
    count: Cell<usize>,
    commands: Cell<usize>,
}

impl Panics {
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    pub(super) fn commands(&self) -> usize {
        self.commands.get()
    }

    /// Counts a command that ended; an error if it panicked, aborted or crashed.
    pub(super) fn check(&self, status: ExitStatus, said: &str) -> anyhow::Result<()> {
        self.commands.set(self.commands.get() + 1);
        let crashed =
            matches!(status.code(), Some(101 | 134 | 139)) || [4, 6, 8, 11].contains(&signal(status));
        if crashed || said.contains("panicked at") {
            self.count.set(self.count.get() + 1);
            anyhow::bail!("{status}: {}", tail(said));
        }
        Ok(())
    }
}

/// The signal that ended a process, or 0.
fn signal(status: ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
}

/// The end of a command.
#[derive(Debug)]
pub(super) struct Ended {
    pub status: ExitStatus,
    /// stdout and stderr.
    pub said: String,
}

impl Ended {
    /// An error with the command's words unless it exited with `code`.
    pub(super) fn expect(&self, code: i32) -> anyhow::Result<()> {
        ensure!(
            self.status.code() == Some(code),
            "expected exit {code}, found {}: {}",
            self.status,
            tail(&self.said)
        );
        Ok(())
    }

    /// An error unless the command said `words`.
    pub(super) fn expect_said(&self, words: &str) -> anyhow::Result<()> {
        ensure!(self.said.contains(words), "{words:?} is not in its words: {}", tail(&self.said));
        Ok(())
    }
}

/// The last line of what was said.
pub(super) fn tail(said: &str) -> &str {
    said.trim().lines().next_back().unwrap_or("(nothing)")
}

/// A command that was started, and a file of all that it says. It is killed where this is dropped before.
pub(super) struct Started {
    pub child: Child,
    said: NamedTempFile,
}

impl Started {
    /// stdout and stderr, as far as they are.
    pub(super) fn said(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.said.path())?).into_owned())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a command.
pub(super) fn start(command: &mut Command) -> anyhow::Result<Started> {
    let said = NamedTempFile::new()?;
    // Appending: both write to one file.
    let append = || std::fs::OpenOptions::new().append(true).open(said.path());
    let child = command.stdin(Stdio::null()).stdout(append()?).stderr(append()?).spawn()?;
    Ok(Started { child, said })
}

/// Runs a command to its end, or for `limit`; then it is killed, which is an error.
pub(super) fn run(command: &mut Command, panics: &Panics, limit: Duration) -> anyhow::Result<Ended> {
    let begin = Instant::now();
    let mut started = start(command)?;
    let status = loop {
        if let Some(status) = started.child.try_wait()? {
            break status;
        }
        ensure!(begin.elapsed() <= limit, "not done after {} s", limit.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = started.said()?;
    panics.check(status, &said)?;
    Ok(Ended { status, said })
}

/// Sends a signal to a process that was started here.
pub(super) fn send(child: &Child, signal: i32) -> anyhow::Result<()> {
    send_to(child.id(), signal)
}

/// Sends a signal to a process that was started here, or below one.
pub(super) fn send_to(process: u32, signal: i32) -> anyhow::Result<()> {
    let id = i32::try_from(process).context("a process number")?;
    // SAFETY: sending a signal touches no memory of this process.
    let status = unsafe { libc::kill(id, signal) };
    ensure!(status == 0, "signal {signal} cannot be sent: {}", std::io::Error::last_os_error());
    Ok(())
}
