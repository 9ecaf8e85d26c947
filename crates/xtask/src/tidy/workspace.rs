//! The inputs of the rules: the sources, and cargo's metadata of all packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// A Rust source file.
pub struct Source {
    /// Path from the repository's root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Lines of code with their numbers, comment lines left out.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Comment lines with their numbers.
    pub fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines.filter(|(_, line)| line.trim_start().starts_with("//"))
    }

    /// The crate's folder below `crates/`, and the path inside it.
    pub fn place(&self) -> (&str, &str) {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split_once('/').unwrap_or(("", path))
    }
}

/// The repository.
pub struct Workspace {
    /// Its root.
    pub root: PathBuf,
    /// All Rust sources below `crates/`, and those of the Python module below `python/`.
    pub sources: Vec<Source>,
    /// `cargo metadata` for this machine's platform.
    pub metadata: Value,
}

impl Workspace {
    /// Reads the repository that this crate is part of.
    pub fn read() -> anyhow::Result<Self> {
        let root = crate::root()?;
        let mut sources = Vec::new();
        for folder in ["crates", "python"] {
            collect(&root, &root.join(folder), &mut sources)?;
        }
        ensure!(sources.len() > 50, "only {} source files found in {}", sources.len(), root.display());
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        // This platform's packages alone: those of other systems need not have been downloaded.
        let about = cargo(&root, &["--version", "--verbose"])?;
        let host =
            about.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo names no host")?;
        let metadata =
            cargo(&root, &["metadata", "--locked", "--format-version", "1", "--filter-platform", host])?;
        Ok(Self { root, sources, metadata: serde_json::from_str(&metadata)? })
    }

    /// A file of the repository as text.
    pub fn file(&self, path: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.root.join(path)).with_context(|| path.to_owned())
    }

    /// All packages, ours and those of others.
    pub fn packages(&self) -> &[Value] {
        self.metadata["packages"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Our own packages.
    pub fn members(&self) -> impl Iterator<Item = &Value> {
        self.packages().iter().filter(|package| package["source"].is_null())
    }
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(root, &path, sources)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let path = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).current_dir(root).args(arguments).output().context("cargo")?;
    ensure!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
