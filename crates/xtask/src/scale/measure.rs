//! Runs of one small recipe with several numbers of processes on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::measurements::median;
use crate::ours;

/// Micro-batches of a step, which are dealt to the processes.
pub(super) const ACCUMULATION: usize = 4;
/// Objectives.
pub(super) const K: usize = 3;
/// Steps that are not timed: caches and memory are filled.
const FIRST: usize = 3;
/// Steps of the repeats after the first, at most: they are for times only.
pub(super) const TIMED: usize = 25;
/// Steps of the shorter and the longer of the two runs whose bytes are counted.
const COUNTED: [usize; 2] = [4, 24];

/// Where the runs are made, and with what.
pub(super) struct Place {
    pub binary: PathBuf,
    pub folder: PathBuf,
    /// Steps of the first run, whose weights are compared.
    pub steps: usize,
}

/// Measurements of one number of processes.
pub(super) struct Row {
    pub ranks: usize,
    /// Median seconds of a step, of each repeat.
    pub seconds: Vec<f64>,
    /// Bytes that pass through the loopback interface in a step, where the system counts them.
    pub bytes: Option<f64>,
    /// Weights of the adapter.
    pub parameters: usize,
    /// Largest difference of a weight from those of the first number of processes, after all steps.
    pub difference: f32,
}

impl Place {
    /// All numbers of processes in turn, as often as asked for.
    pub fn rows(&self, ranks: &[usize], repeats: usize) -> anyhow::Result<Vec<Row>> {
        ensure!(!ranks.is_empty(), "--ranks: no number of processes");
        for &ranks in ranks {
            ensure!(
                (1..=ACCUMULATION).contains(&ranks),
                "--ranks {ranks}: the recipe has {ACCUMULATION} micro-batches to deal out"
            );
            ensure!(
                ACCUMULATION.is_multiple_of(ranks),
                "--ranks {ranks}: no divisor of {ACCUMULATION} micro-batches"
            );
        }
        self.prepare()?;
        let mut rows: Vec<Row> = Vec::new();
        for repeat in 0..repeats {
            for (i, &ranks) in ranks.iter().enumerate() {
                eprintln!("{ranks} processes, {} of {repeats}", repeat + 1);
                let run = format!("time-{ranks}-{repeat}");
                let steps = if repeat == 0 { self.steps } else { self.steps.min(TIMED) };
                self.train(ranks, steps, &run, &[])?;
                let seconds = self.step_seconds(&run)?;
                if repeat == 0 {
                    let weights = self.weights(&run)?;
                    let first = rows.first().map_or(Ok(weights.clone()), |first: &Row| {
                        self.weights(&format!("time-{}-0", first.ranks))
                    })?;
                    let parameters = weights.len();
                    let difference = largest_difference(&first, &weights)?;
                    rows.push(Row {
                        ranks,
                        seconds: vec![seconds],
                        bytes: self.bytes(ranks)?,
                        parameters,
                        difference,
                    });
                } else {
                    rows[i].seconds.push(seconds);
                }
            }
        }
        Ok(rows)
    }

    /// Draws the people and fills the cache, which every run reads.
    fn prepare(&self) -> anyhow::Result<()> {
        let mut people = Command::new(&self.binary);
        people.args([
            "people",
            "--count",
            "16",
            "--size",
            "96",
            "--seed",
            "1",
            "--figures",
            "1",
            "--out",
            "people",
        ]);
        ours::run(people.current_dir(&self.folder))?;
        self.train(1, 1, "prepare", &[])
    }

    /// Trains with some processes, each with one thread on a core of its own as far as there are any.
    fn train(&self, ranks: usize, steps: usize, run: &str, mca: &[&str]) -> anyhow::Result<()> {
        let recipe = format!("{run}.toml");
        std::fs::write(self.folder.join(&recipe), recipe_of(steps))?;
        let mut command = Command::new("mpirun");
        command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "core:overload-allowed"]);
        command.args(mca).args(["-n", &ranks.to_string()]).arg(&self.binary);
        command.args(["train", &recipe, "--threads", "1", "--out", run]);
        ours::run(command.current_dir(&self.folder)).map(drop)
    }

    /// Median seconds of a step.
    fn step_seconds(&self, run: &str) -> anyhow::Result<f64> {
        let log = self.folder.join(run).join("events.jsonl");
        let text = std::fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let steps = events.filter(|event| event["event"] == "step");
        let seconds: Vec<f64> =
            steps.skip(FIRST).filter_map(|step| step["seconds"]["total"].as_f64()).collect();
        median(seconds).with_context(|| format!("{}: no step to time", log.display()))
    }

    /// Bytes of a step on the loopback interface: what a longer run sends more than a shorter one, by TCP.
    fn bytes(&self, ranks: usize) -> anyhow::Result<Option<f64>> {
        if ranks == 1 || sent().is_none() {
            return Ok(None);
        }
        let mca = ["--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo"];
        let mut bytes = [0.0; 2];
        for (bytes, steps) in bytes.iter_mut().zip(COUNTED) {
            let before = sent();
            self.train(ranks, steps, &format!("bytes-{ranks}-{steps}"), &mca)?;
            let (Some(before), Some(after)) = (before, sent()) else { return Ok(None) };
            *bytes = after - before;
        }
        Ok(Some((bytes[1] - bytes[0]) / (COUNTED[1] - COUNTED[0]) as f64))
    }

    /// All weights of a run's adapter, by name.
    fn weights(&self, run: &str) -> anyhow::Result<Vec<f32>> {
        let file = self.folder.join(run).join("lora.safetensors");
        read(&file).with_context(|| format!("{}", file.display()))
    }
}

/// Weights of a LoRA in f32, in the order of their names.
fn read(file: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = std::fs::read(file)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let mut tensors: Vec<_> =
        file.tensors().into_iter().filter(|(name, _)| !name.ends_with(".alpha")).collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut weights = Vec::new();
    for (name, tensor) in tensors {
        ensure!(tensor.dtype() == Dtype::F32, "{name}: {:?}, expected F32", tensor.dtype());
        weights.extend(bytemuck::pod_collect_to_vec::<u8, f32>(tensor.data()));
    }
    Ok(weights)
}

fn largest_difference(a: &[f32], b: &[f32]) -> anyhow::Result<f32> {
    ensure!(a.len() == b.len(), "{} weights, and {} of the first number of processes", b.len(), a.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let largest =
        differences.fold(0.0, |largest: f32, one| if one.is_nan() { one } else { largest.max(one) });
    if largest.is_nan() { bail!("weights that are no numbers") } else { Ok(largest) }
}

/// Bytes that the loopback interface has sent.
fn sent() -> Option<f64> {
    std::fs::read_to_string("/sys/class/net/lo/statistics/tx_bytes").ok()?.trim().parse().ok()
}

/// A LoRA of the built-in model with three objectives.
fn recipe_of(steps: usize) -> String {
    format!(
        r#"steps = {steps}
seed = 1
accumulation = {ACCUMULATION}
cache = "cache"
model.path = "builtin"
dataset.path = "people"
geometry = {{ width = 96, height = 96 }}
lora = {{ rank = 16, targets = ["attention", "feed_forward", "conv"] }}
optimizer.learning_rate = 1e-4
checkpoints.every = {steps}
objective = [
    {{ name = "global" }},
    {{ name = "face", mask = "mask_face" }},
    {{ name = "hand", mask = "mask_hand" }},
]
"#
    )
}
