//! Development commands. `cargo run -p xtask -- tidy` checks the house rules; `cargo run --release -p xtask
//! -- speed` measures the training step beside PyTorch's on this machine and prints the table of the speed
//! goals.

mod amortise;
mod clip;
mod evidence;
#[cfg(unix)]
mod faults;
mod gpu;
mod machine;
mod marked;
mod measurements;
mod operations;
mod ours;
mod python;
mod refine_evidence;
mod report;
mod sampling;
mod scale;
mod sides;
mod small_model;
mod speed;
mod step;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use xtask::judge;
use xtask::tidy::{RULES, Workspace};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "Development commands of fairhuman")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the house rules: sources, crates and dependencies
    Tidy,
    /// Time the three-objective step beside PyTorch's, alternating, and print the table of the goals
    Speed(Speed),
    /// Make a small model that draws people from nothing (hours); the same command again goes on
    SmallModel(SmallModel),
    /// Fine-tune with each weighting, several times, and tabulate held-out losses (hours); the same command
    /// again goes on
    Evidence(evidence::Evidence),
    /// Replay the Gram matrices of exact runs as if only every N-th had been made, and say how far the
    /// weights are off
    Amortise(amortise::Amortise),
    /// Kill, damage, interrupt and starve runs, and count what ended as promised
    #[cfg(unix)]
    Faults(faults::Faults),
    /// Damage drawn people, refine them, and compare with the true drawings
    RefineEvidence(refine_evidence::RefineEvidence),
    /// Run and measure everything on a card: conformance, steps of SDXL, pictures, training (8 minutes)
    Gpu(gpu::Gpu),
    /// Time `fairhuman sample` beside diffusers, alternating, and compare the pictures
    Sampling(sides::Options),
    /// Time `fairhuman evaluate --judge clip=` beside transformers, alternating, and compare the scores
    Clip(clip::Clip),
    /// Time training by several processes of this machine, and model its cost on many
    Scale(scale::Scale),
    /// Count the faces, hands, eyes and gestures in a folder of drawn or sampled people
    Judge(judge::Options),
}

/// `xtask small-model`
#[derive(Debug, Args)]
struct SmallModel {
    /// A fairhuman that is built already, in place of this source's
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// `xtask speed`
#[derive(Debug, Args)]
#[command(after_help = "\
The PyTorch side runs in a virtual environment, .venv, that is made from reference/requirements.txt when it is not \
there (a download of some GB the first time; pip's own settings apply: PIP_EXTRA_INDEX_URL set to PyTorch's index of \
CPU wheels makes it ten times less). Without Python only our side is measured.

Close everything else first: other programs make all of these numbers wrong. Allow half an hour, or a few minutes \
with --quick.")]
struct Speed {
    /// One pair of runs, few repeats, without the network of four times the channels: to see that all works
    #[arg(long)]
    quick: bool,
    /// Repeats of each comparison, PyTorch and ours in turn [default: 5, or 1 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pairs: Option<u16>,
    /// Threads on both sides [default: all cores]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
    /// Also write the report to this Markdown file; where it has the lines `<!-- speed:begin -->` and
    /// `<!-- speed:end -->`, between them
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A Python that has PyTorch, diffusers and PEFT already, in place of .venv
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// A fairhuman that is built already, to measure in place of this source's
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Measure our side only
    #[arg(long, conflicts_with = "python")]
    no_python: bool,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Tidy => tidy(),
        Command::Speed(options) => speed::run(&options),
        Command::SmallModel(options) => small_model::run(&options),
        Command::Evidence(options) => evidence::run(&options),
        Command::Amortise(options) => amortise::run(&options),
        #[cfg(unix)]
        Command::Faults(options) => faults::run(&options),
        Command::RefineEvidence(options) => refine_evidence::run(&options),
        Command::Gpu(options) => gpu::run(&options),
        Command::Sampling(options) => sampling::run(&options),
        Command::Clip(options) => clip::run(&options),
        Command::Scale(options) => scale::run(&options),
        Command::Judge(options) => judge::run(&options),
    }
}

fn tidy() -> anyhow::Result<()> {
    let workspace = Workspace::read()?;
    let mut broken = 0;
    for rule in RULES {
        let violations = (rule.violations)(&workspace)?;
        if violations.is_empty() {
            println!("ok: {}", rule.text);
        } else {
            broken += 1;
            println!("BROKEN: {}\n  {}", rule.text, violations.join("\n  "));
        }
    }
    anyhow::ensure!(broken == 0, "{broken} house rules are broken");
    Ok(())
}
