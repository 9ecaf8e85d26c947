//! Mutated files for every reader: `fairhuman-fuzz`, and its table.

use std::process::{Command, Stdio};

use anyhow::Context;

use super::scene::Scene;
use super::{Count, Random};

pub(super) fn run(scene: &Scene, _: &mut Random, times: usize) -> anyhow::Result<Vec<Count>> {
    let mut count = Count::new("fuzz executions: no panic, overflow, hang or hunger for memory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--release", "-q", "-p", "fairhuman-fuzz", "--", "--executions", &times.to_string()])
        .current_dir(&scene.root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    eprint!("{said}");
    let last = said.lines().next_back().unwrap_or_default();
    let numbers: Vec<usize> =
        last.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    let (&[all, failed], true) = (&numbers[..], last.starts_with("fuzz executions")) else {
        anyhow::bail!("fairhuman-fuzz printed no result ({})", output.status);
    };
    count.all = all;
    count.good = all - failed;
    count.failures = said.lines().filter(|line| line.contains("--first")).map(str::to_owned).collect();
    Ok(vec![count])
}
