//! Threads of processes that share a machine. Launchers bind processes to cores, or leave them all to
//! everybody.

use fairhuman_processes::{Launcher, Processes};

use crate::machine;

/// Threads of this process.
pub struct Threads {
    /// Their number.
    pub count: usize,
    /// Where it comes from, in words to follow it.
    pub reason: &'static str,
    /// Advice where the processes leave cores to nobody.
    pub hint: Option<String>,
}

/// The cores that this process may use, divided among the processes that may use the same ones.
pub fn share(processes: &Processes) -> anyhow::Result<Threads> {
    let own = cores_of_this_process();
    let all = processes.gather(&own).map_err(anyhow::Error::msg)?;
    let here: Vec<&[u8]> = processes.same_machine().iter().map(|&rank| &all[rank][..]).collect();
    let sharing = here.iter().filter(|other| overlap(&own, other)).count().max(1);
    let count = (machine::cores() / sharing).max(1);
    let (own, machine) = (size(&own), online());
    let is_bound = machine.is_some_and(|machine| own > 0 && own < machine);
    let reason = match (is_bound, sharing) {
        (true, 1) => ", as many as the cores that each is bound to",
        _ => "",
    };
    let idle = machine.is_some_and(|machine| sharing == 1 && own * here.len() < machine);
    let is_mpirun = matches!(processes.launcher(), Launcher::OpenMpi | Launcher::Mpich);
    let hint = machine.filter(|_| is_bound && idle && is_mpirun).map(|machine| {
        let option =
            if processes.launcher() == Launcher::OpenMpi { "--bind-to none" } else { "-bind-to none" };
        format!(
            "{} binds each of {} processes here to {own} of {machine} cores; `{option}` gives them all",
            processes.launcher().name(),
            here.len()
        )
    });
    Ok(Threads { count, reason, hint })
}

/// True if two processes may use the same core. Where the system does not tell, they may use all.
fn overlap(one: &[u8], other: &[u8]) -> bool {
    one.is_empty() || other.is_empty() || one.iter().zip(other).any(|(one, other)| one & other != 0)
}

/// Number of cores in a set.
fn size(set: &[u8]) -> usize {
    set.iter().map(|byte| byte.count_ones() as usize).sum()
}

/// The cores that this process may use, a bit each; empty where the system does not tell.
fn cores_of_this_process() -> Vec<u8> {
    #[cfg(target_os = "linux")]
    {
        let Ok(text) = fairhuman_files::read_to_string("/proc/self/status") else { return Vec::new() };
        let line = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed:"));
        line.map(|words| parse(words.trim())).unwrap_or_default()
    }
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

/// The set behind `ff,00000003`: hexadecimal words of 32 bits, the highest first.
#[cfg(target_os = "linux")]
fn parse(words: &str) -> Vec<u8> {
    let words = words.rsplit(',').map(|word| u32::from_str_radix(word, 16));
    let words: Result<Vec<u32>, _> = words.collect();
    words.unwrap_or_default().into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Number of cores of the machine; none where the system does not tell.
fn online() -> Option<usize> {
    let text = fairhuman_files::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let ranges = text.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<usize>().ok()? + 1 - first.parse::<usize>().ok()?)
    });
    ranges.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn sets_of_cores_are_read_compared_and_counted() {
        let low = parse("00000003");
        let high = parse("1,00000000");
        assert_eq!((size(&low), size(&high), size(&parse("ff,ffffffff"))), (2, 1, 40));
        assert!(!overlap(&low, &high) && overlap(&low, &parse("ff,ffffffff")));
        assert!(overlap(&low, &[]));
        assert!(size(&cores_of_this_process()) >= 1);
        assert!(online().unwrap() >= 1);
    }
}
