//! `xtask scale`: training by several processes of this machine, measured, and a model of its cost on many
//! machines. The tables go into docs/scale.md.

mod figure;
mod measure;
mod model;
mod tables;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use crate::{marked, ours};
use measure::Place;
use model::WORKS;

/// `xtask scale`
#[derive(Debug, Args)]
#[command(after_help = "\
Needs Open MPI's mpirun, and a machine that does nothing else: other programs make all times wrong. Allow an hour on two \
cores, or two minutes with --quick.")]
pub(crate) struct Scale {
    /// Few steps, once: to see that all works
    #[arg(long)]
    quick: bool,
    /// Numbers of processes
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1_usize, 2, 4])]
    ranks: Vec<usize>,
    /// Repeats, each with all numbers of processes in turn [default: 5, or 1 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// Measure nothing: the model of the cost alone
    #[arg(long)]
    model_only: bool,
    /// Seconds of a step of SDXL on one card, for the model: LoRA of rank 16, of rank 256, all parameters
    #[arg(long, value_name = "S,S,S", value_delimiter = ',', default_values_t = WORKS.map(|work| work.seconds))]
    step_seconds: Vec<f64>,
    /// Also write the tables to this Markdown file: between `<!-- scale:begin -->` and `<!-- scale:end -->`,
    /// and `<!-- scale-model:begin -->` and `<!-- scale-model:end -->`, with a figure beside it, in images/
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A fairhuman that is built already, in place of this source's
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Measures, prints and writes.
pub(crate) fn run(options: &Scale) -> anyhow::Result<()> {
    let seconds: [f64; WORKS.len()] =
        options.step_seconds.as_slice().try_into().context("--step-seconds: 3 numbers")?;
    ensure!(seconds.iter().all(|seconds| *seconds > 0.0), "--step-seconds: numbers above 0");
    let works: Vec<_> =
        WORKS.into_iter().zip(seconds).map(|(work, seconds)| model::Work { seconds, ..work }).collect();
    let model = tables::model(&works);
    if let Some(file) = &options.out {
        let images = file.parent().unwrap_or(Path::new("")).join("images");
        std::fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
        std::fs::write(images.join("scale-model.svg"), figure::svg(&works))?;
        // A file without the lines would be overwritten.
        ensure!(file.exists(), "{}: no such file", file.display());
        marked::write(file, "scale-model", &model)?;
    }
    println!("{model}");
    if options.model_only {
        return Ok(());
    }
    let root = xtask::root()?;
    let binary = ours::binary(options.binary.as_deref(), &root)?.canonicalize()?;
    let folder = tempfile::tempdir()?;
    let steps = if options.quick { 12 } else { 100 };
    let place = Place { binary, folder: folder.path().to_owned(), steps };
    let repeats = options.repeats.map_or(if options.quick { 1 } else { 5 }, usize::from);
    let rows = place.rows(&options.ranks, repeats)?;
    let text = tables::measured(&rows, &place, repeats, &root)?;
    if let Some(file) = &options.out {
        marked::write(file, "scale", &text)?;
    }
    println!("{text}");
    Ok(())
}
