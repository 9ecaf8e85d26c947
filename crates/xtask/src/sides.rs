//! The two sides of a comparison with a Python library, and the options that both need.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::python::Python;
use crate::{machine, ours};

/// Options of a comparison.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Repeats of the comparison, the library and ours in turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub pairs: u16,
    /// Threads on both sides [default: all cores]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
    /// A Python that has PyTorch and the library already, in place of .venv
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// A fairhuman that is built already, to measure in place of this source's
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Both sides, ready to run.
pub(crate) struct Sides {
    pub python: Python,
    pub binary: PathBuf,
    pub threads: usize,
    /// Folder for models, inputs and results.
    pub folder: PathBuf,
}

impl Options {
    /// Builds and finds what is not given, and makes the folder `target/NAME`.
    pub fn open(&self, name: &str) -> anyhow::Result<Sides> {
        let root = xtask::root()?;
        let binary = ours::binary(self.binary.as_deref(), &root)?;
        let python = match &self.python {
            Some(program) => Python::given(&root, program),
            None => Python::pinned(&root)?.context("the library's side needs Python 3 with venv")?,
        };
        let threads = self.threads.map_or_else(machine::cores, usize::from);
        let folder = root.join("target").join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Sides { python, binary, threads, folder })
    }
}
