//! `xtask faults`: everything that can happen to a run is made to happen to it, many times, and counted:
//! kills, also of one of several processes, damaged files, signals, lost outputs, full disks, absurd numbers,
//! mutated files. docs/reliability.md and docs/scale.md say what is promised; this shows that it holds.

mod child;
mod damages;
mod disks;
mod kills;
mod mutated;
mod numbers;
mod outputs;
mod processes;
mod random;
mod scene;
mod signals;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::ensure;
use clap::Args;

use crate::{machine, marked, ours};
use child::Panics;
use random::Random;
use scene::Scene;

/// `xtask faults`
#[derive(Debug, Args)]
#[command(
    after_help = "Three quarters of an hour on two cores. With --quick a few minutes: each kind a few times."
)]
pub(crate) struct Faults {
    /// Each kind of fault a few times
    #[arg(long)]
    quick: bool,
    /// Only these kinds: kills, processes, damages, signals, outputs, disks, numbers, fuzz
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    only: Vec<String>,
    /// Other moments and places of faults
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Also write the table to this Markdown file, between `<!-- faults:begin -->` and `<!-- faults:end -->`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A fairhuman that is built already, in place of this source's
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// The count of one kind of fault.
#[derive(Debug)]
struct Count {
    what: &'static str,
    /// Those that ended as promised.
    good: usize,
    all: usize,
    /// The others, one line each.
    failures: Vec<String>,
    /// Why something was left out.
    note: Option<String>,
}

impl Count {
    fn new(what: &'static str) -> Self {
        Self { what, good: 0, all: 0, failures: Vec::new(), note: None }
    }

    /// Counts a fault; an error is a broken promise.
    fn add(&mut self, name: &str, outcome: anyhow::Result<()>) {
        self.all += 1;
        match outcome {
            Ok(()) => self.good += 1,
            Err(error) => {
                eprintln!("  {}: {name}: {error:#}", self.what);
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }
}

type Kind = (&'static str, fn(&Scene, &mut Random, usize) -> anyhow::Result<Vec<Count>>, [usize; 2]);

/// Name, function, and how often: with `--quick`, and without.
const KINDS: [Kind; 8] = [
    ("kills", kills::run, [10, 100]),
    ("processes", processes::run, [3, 50]),
    ("damages", damages::run, [20, 300]),
    ("signals", signals::run, [6, 36]),
    ("outputs", outputs::run, [1, 3]),
    ("disks", disks::run, [4, 20]),
    ("numbers", numbers::run, [1, 4]),
    ("fuzz", mutated::run, [500, 20_000]),
];

/// Runs all kinds and prints the table.
pub(crate) fn run(options: &Faults) -> anyhow::Result<()> {
    for name in &options.only {
        ensure!(KINDS.iter().any(|kind| kind.0 == name), "there is no kind of fault {name:?}; see --help");
    }
    let root = xtask::root()?;
    let binary = ours::binary(options.binary.as_deref(), &root)?.canonicalize()?;
    let scene = Scene::new(&root, &binary)?;
    let mut counts = Vec::new();
    for (name, run, times) in KINDS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        let start = Instant::now();
        counts.extend(run(&scene, &mut Random::new(options.seed), times[usize::from(!options.quick)])?);
        eprintln!("{name}: {} s", start.elapsed().as_secs());
    }
    let table = table(&counts, &scene.panics, &root);
    println!("{table}");
    if let Some(file) = &options.out {
        marked::write(file, "faults", &table)?;
    }
    let failures: usize = counts.iter().map(|count| count.failures.len()).sum();
    ensure!(failures == 0 && scene.panics.count() == 0, "{failures} faults did not end as promised");
    Ok(())
}

fn table(counts: &[Count], panics: &Panics, root: &Path) -> String {
    let mut text = String::from("| fault | as promised | of |\n|---|---|---|\n");
    for count in counts {
        text += &format!("| {} | {} | {} |\n", count.what, count.good, count.all);
    }
    text += &format!("| commands that panicked, of all | {} | {} |\n", panics.count(), panics.commands());
    let sources = machine::sources(root).map_or_else(String::new, |commit| format!(", sources {commit}"));
    text += &format!("\n{} cores, {}{sources}.\n", machine::cores(), machine::processor());
    for count in counts {
        if let Some(note) = &count.note {
            text += &format!("\n- {}: {note}\n", count.what);
        }
        for failure in count.failures.iter().take(10) {
            text += &format!("\n- **{}**: {failure}\n", count.what);
        }
    }
    text
}
