//! Long runs: each target in processes of its own, a table at the end.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Parser;
use fairhuman_fuzz::{MEMORY, Outcome, TARGETS, limit_memory, run_apart, target};

/// Feed every reader of files with mutated files
#[derive(Debug, Parser)]
#[command(name = "fairhuman-fuzz")]
struct Cli {
    /// Targets; all of them if none is named
    targets: Vec<String>,
    /// Inputs for each target
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    executions: u64,
    /// Number of the first input
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Other mutations
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Execute one target in this process, not in one of its own
    #[arg(long)]
    here: bool,
    /// A file that always holds the number of the present input
    #[arg(long, value_name = "FILE", requires = "here")]
    mark: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let options = Cli::parse();
    for name in &options.targets {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        ensure!(target(name).is_some(), "there is no target {name}; there are {}", names.join(", "));
    }
    if options.here { here(&options) } else { all(&options) }
}

fn here(options: &Cli) -> anyhow::Result<()> {
    let [name] = &options.targets[..] else {
        anyhow::bail!("name one target to execute here");
    };
    let target = target(name).context("there is no such target")?;
    limit_memory(MEMORY)?;
    let scratch = tempfile::tempdir()?;
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64();
    target.execute(scratch.path(), options.seed, (options.first, options.executions), &clock, |number| {
        if let Some(mark) = &options.mark {
            // Only known too late if it cannot be written.
            let _ = std::fs::write(mark, number.to_string());
        }
    })
}

fn all(options: &Cli) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let (mut failures, mut executed) = (0, 0);
    for target in TARGETS {
        if !options.targets.is_empty() && !options.targets.iter().any(|name| name == target.name) {
            continue;
        }
        let (start, end) = (Instant::now(), options.first + options.executions);
        let (mut next, mut failed) = (options.first, 0);
        while next < end {
            match run_apart(&program, target.name, options.seed, (next, end - next))? {
                Outcome::Done => next = end,
                Outcome::Failed { number, reason } => {
                    failed += 1;
                    println!("{} --first {number} --executions 1: {reason}", target.name);
                    next = number + 1;
                }
            }
        }
        executed += options.executions;
        failures += failed;
        let seconds = start.elapsed().as_secs();
        println!(
            "{:<14} {:>9} executions {failed:>4} failures {seconds:>6} s",
            target.name, options.executions
        );
    }
    println!("fuzz executions {executed}, failures {failures}");
    ensure!(failures == 0, "{failures} inputs brought a reader down");
    Ok(())
}
