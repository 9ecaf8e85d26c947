//! Facts about the machine and this process.

use anyhow::{Context, ensure};
use fairhuman_engine::Cpu;

/// More threads are a slip of the hand, and a machine that is asked for thousands stands still.
const MOST_THREADS: usize = 512;

/// The most memory this process has held at once, in MiB; none where the system does not tell.
pub fn peak_memory_mib() -> Option<f64> {
    let status = fairhuman_files::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Number of cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The vector instructions that matter for speed, as far as they are there.
pub fn vector_instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "AVX-512";
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return "AVX2";
        }
        "SSE2"
    }
    #[cfg(target_arch = "aarch64")]
    {
        "NEON"
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        "none known"
    }
}

/// The machine in one line: `linux x86_64, 2 cores, AVX-512`.
pub fn description() -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{os} {arch}, {} cores, {}", cores(), vector_instructions())
}

/// A number of threads that somebody asks for.
///
/// # Errors
/// More than [`MOST_THREADS`].
pub fn threads(threads: usize) -> anyhow::Result<usize> {
    ensure!(
        threads <= MOST_THREADS,
        "{threads} threads: expected at most {MOST_THREADS}, or 0 for one per core"
    );
    Ok(threads)
}

/// The CPU backend with `threads` threads (0: one per core).
///
/// # Errors
/// As [`threads`], and threads that the system refuses.
pub fn backend(threads: usize) -> anyhow::Result<Cpu> {
    Cpu::new(self::threads(threads)?).context("cannot start the threads")
}
