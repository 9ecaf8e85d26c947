//! A target in a process of its own, with bounded memory: a stack overflow or an aborted allocation ends that
//! process and not the run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

/// The end of a process that executed a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All inputs were executed.
    Done,
    /// The process died, or an input took too long: at this input, for this reason.
    Failed {
        /// The input's number.
        number: u64,
        /// The end of what the process said, and its status.
        reason: String,
    },
}

/// Bounds this process's address space to `bytes`.
///
/// # Errors
/// A system that refuses.
pub fn limit_memory(bytes: u64) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let limit = libc::rlimit { rlim_cur: bytes as libc::rlim_t, rlim_max: bytes as libc::rlim_t };
        // SAFETY: the call reads the structure and changes only this process's limit.
        let status = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
        anyhow::ensure!(status == 0, "the memory cannot be limited: {}", std::io::Error::last_os_error());
    }
    #[cfg(not(unix))]
    let _ = bytes;
    Ok(())
}

/// Executes inputs `first..first + count` of the target `name` by `program` (this crate's) in a process of
/// its own.
///
/// # Errors
/// A process that cannot be started, or that does not say how far it came.
pub fn run_apart(
    program: &Path,
    name: &str,
    seed: u64,
    (first, count): (u64, u64),
) -> anyhow::Result<Outcome> {
    let scratch = tempfile::tempdir()?;
    let mark = scratch.path().join("number");
    let output = Command::new(program)
        .args([name, "--here", "--seed", &seed.to_string(), "--first", &first.to_string()])
        .args(["--executions", &count.to_string(), "--mark"])
        .arg(&mark)
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if output.status.success() {
        return Ok(Outcome::Done);
    }
    let number = std::fs::read_to_string(&mark).ok().and_then(|text| text.parse().ok());
    let said = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = said.lines().rev().take(6).collect();
    let reason = format!("{}: {}", output.status, tail.into_iter().rev().collect::<Vec<_>>().join(" | "));
    let number = number.with_context(|| format!("{name} did not begin: {reason}"))?;
    Ok(Outcome::Failed { number, reason })
}
