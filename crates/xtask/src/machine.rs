//! Describes the machine that measurements are made on.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The value of the first line of `file` that starts with `key`, after its colon.
fn field(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Processor, as it names itself.
pub(crate) fn processor() -> String {
    let name = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let place = [("cpu family", "family"), ("model\t", "model"), ("stepping", "stepping")]
        .iter()
        .filter_map(|(key, word)| Some(format!("{word} {}", field("/proc/cpuinfo", key)?)))
        .collect::<Vec<_>>();
    if place.is_empty() { name } else { format!("{name} ({})", place.join(", ")) }
}

/// The vector instructions that it has, of those that matter here.
pub(crate) fn instructions() -> String {
    let flags = field("/proc/cpuinfo", "flags").or_else(|| field("/proc/cpuinfo", "Features"));
    let flags = flags.unwrap_or_default();
    let known = ["avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16"];
    let found: Vec<_> = known.into_iter().filter(|k| flags.split_whitespace().any(|f| f == *k)).collect();
    found.join(", ")
}

/// Whether it multiplies bfloat16 pairs.
pub(crate) fn multiplies_bf16() -> bool {
    instructions().contains("bf16")
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Memory in GiB.
pub(crate) fn memory_gib() -> Option<f64> {
    let kib: f64 = field("/proc/meminfo", "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / f64::from(1 << 20))
}

/// Runnable processes of the last minute, on average.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// The state of the sources: commit, and whether they differ from it.
pub(crate) fn sources(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}
