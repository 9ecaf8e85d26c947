//! Drawn people, a tiny model, a recipe of sixty quick steps, and the run that nothing happened to, which all
//! others are compared with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::child::{self, Ended, Panics};

/// The recipe.
pub(super) const RECIPE: &str = r#"
steps = 60
batch = 2
model.path = "tiny"
dataset.path = "people"
geometry = { width = 64, height = 64, flip = 0.5 }
objective = [
    { name = "global" },
    { name = "face", mask = "mask_face" },
    { name = "hand", mask = "mask_hand" },
]
lora = { rank = 2, targets = ["attention", "conv"] }
optimizer.learning_rate = 1e-3
checkpoints = { every = 5, keep = 3 }
validation = { share = 0.2, every = 20, draws = 1 }
"#;

/// The longest time a run may take.
const LIMIT: Duration = Duration::from_secs(300);

/// The run that nothing happened to.
pub(super) const WHOLE: &str = "whole";

pub(super) struct Scene {
    folder: TempDir,
    pub root: PathBuf,
    pub binary: PathBuf,
    pub panics: Panics,
}

impl Scene {
    /// Makes everything and trains the run [`WHOLE`].
    pub(super) fn new(root: &Path, binary: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let scene = Self { folder, root: root.into(), binary: binary.into(), panics: Panics::default() };
        scene.run(&["people", "--count", "10", "--size", "64", "--out", "people"])?.expect(0)?;
        scene.run(&["init-model", "--preset", "tiny", "--out", "tiny"])?.expect(0)?;
        std::fs::write(scene.path("recipe.toml"), RECIPE)?;
        scene.train(WHOLE)?.expect(0)?;
        Ok(scene)
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in the scene's folder, with a cache folder of its own.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.path("user-cache"));
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        child::run(&mut self.command(arguments), &self.panics, LIMIT)
    }

    /// `train recipe.toml --out RUN`, to its end.
    pub(super) fn train(&self, run: &str) -> anyhow::Result<Ended> {
        self.run(&["train", "recipe.toml", "--out", run])
    }

    /// An error unless the run gave bit for bit what the whole one did, and left no temporary file.
    pub(super) fn expect_same(&self, run: &str) -> anyhow::Result<()> {
        self.expect_same_as(run, WHOLE)
    }

    /// The same for another run that nothing happened to.
    pub(super) fn expect_same_as(&self, run: &str, whole: &str) -> anyhow::Result<()> {
        ensure!(
            learnt(&self.path(run))? == learnt(&self.path(whole))?,
            "another LoRA than that of a run without faults"
        );
        let left = temporary_files(&self.path(run))?;
        ensure!(left.is_empty(), "temporary files are left: {}", left.join(", "));
        Ok(())
    }

    pub(super) fn remove(&self, run: &str) -> anyhow::Result<()> {
        match std::fs::remove_dir_all(self.path(run)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The step of the newest checkpoint; 0 without one.
    pub(super) fn saved_step(&self, run: &str) -> anyhow::Result<u64> {
        let steps = files(&self.path(run).join("checkpoints"))?;
        let step = |path: &PathBuf| path.file_stem()?.to_str()?.strip_prefix("step-")?.parse().ok();
        Ok(steps.iter().filter_map(step).max().unwrap_or(0))
    }

    /// The number of steps in the run's log.
    pub(super) fn logged_steps(&self, run: &str) -> u64 {
        let text = std::fs::read_to_string(self.path(run).join("events.jsonl")).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        events
            .filter(|event| event["event"] == "step")
            .filter_map(|event| event["step"].as_u64())
            .max()
            .unwrap_or(0)
    }
}

/// The tensors of a run's LoRA: the file's header also holds the run's name.
fn learnt(run: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let file = run.join("lora.safetensors");
    let bytes = std::fs::read(&file).with_context(|| format!("{}", file.display()))?;
    let tensors = safetensors::SafeTensors::deserialize(&bytes)?;
    let mut list: Vec<_> =
        tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
    list.sort();
    Ok(list)
}

/// The files of a folder, sorted; none if there is no folder.
pub(super) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Names of files and folders that a save begins and a killed one leaves.
fn temporary_files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    for path in files(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".tmp") || name.contains(".partial") {
            left.push(name);
        } else if path.is_dir() {
            left.extend(temporary_files(&path)?);
        }
    }
    Ok(left)
}
