//! PyTorch's side: a virtual environment of pinned versions, and the scripts of `reference` in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use serde_json::Value;

use crate::measurements::Measurement;
use crate::ours::run;
use crate::step::StepSize;

/// A Python that can run the scripts.
#[derive(Debug, Clone)]
pub(crate) struct Python {
    program: PathBuf,
    reference: PathBuf,
}

/// Measurement to make in PyTorch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variant {
    /// Autocast to bfloat16.
    pub bf16: bool,
    /// Images stored as NHWC.
    pub channels_last: bool,
    /// One objective and one backward pass in place of the exact step.
    pub plain: bool,
    /// Activations computed again.
    pub checkpointing: bool,
    /// On a card, in place of the processor.
    pub cuda: bool,
}

impl Python {
    /// A Python of the user's.
    pub(crate) fn given(root: &Path, program: &Path) -> Self {
        Self { program: program.into(), reference: root.join("reference") }
    }

    /// The Python of `.venv`, which is made when it is not there or was made from other versions; none where
    /// the machine has no Python.
    pub(crate) fn pinned(root: &Path) -> anyhow::Result<Option<Self>> {
        let python3 = |arguments: &[&str]| {
            Command::new("python3").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()
        };
        if !python3(&["-c", "import venv, ensurepip"]).is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let requirements = root.join("reference/requirements.txt");
        let wanted = fs::read_to_string(&requirements)
            .with_context(|| format!("cannot read {}", requirements.display()))?;
        let folder = root.join(".venv");
        let (program, stamp) = (folder.join("bin/python"), folder.join("installed-requirements.txt"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(Some(Self { program, reference: root.join("reference") }));
        }
        eprintln!("making {} from {} (some GB to download)", folder.display(), requirements.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(&program);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        pip.arg(&requirements);
        let status = pip.stdout(Stdio::null()).status().context("cannot start pip")?;
        ensure!(
            status.success(),
            "pip cannot install {}; --python FILE takes a Python that has it all, --no-python measures our side only",
            requirements.display()
        );
        fs::write(&stamp, wanted)?;
        Ok(Some(Self { program, reference: root.join("reference") }))
    }

    /// PyTorch's version.
    pub(crate) fn torch(&self) -> anyhow::Result<String> {
        let program = "import torch; print(torch.__version__)";
        Ok(run(Command::new(&self.program).args(["-c", program]))?.trim().to_owned())
    }

    /// The script of the training step.
    fn script(&self) -> PathBuf {
        self.reference.join("step_reference.py")
    }

    /// Makes pictures by diffusers, and compares them with those in `folder/ours`: `seconds` and
    /// `differences`.
    pub(crate) fn sampling(
        &self,
        model: &Path,
        job: &Path,
        noise: &Path,
        folder: &Path,
        threads: usize,
    ) -> anyhow::Result<Value> {
        let mut process = Command::new(&self.program);
        process.arg(self.reference.join("sampling_reference.py")).args([model, job, noise]);
        process.arg("--ours").arg(folder.join("ours")).arg("--theirs").arg(folder.join("diffusers"));
        let said = run(process.args(["--threads", &threads.to_string()]))?;
        let last = said.lines().next_back().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("expected JSON, found {last:?}"))
    }

    /// Writes CLIP ViT-L/14 with random weights, and a tokenizer beside it.
    pub(crate) fn clip_model(&self, model: &Path, tokenizer: &Path) -> anyhow::Result<()> {
        let mut process = Command::new(&self.program);
        run(process.arg(self.reference.join("clip_speed.py")).arg("make").args([model, tokenizer]))?;
        Ok(())
    }

    /// The cosines of pictures with a prompt by transformers, and the time that they take.
    pub(crate) fn clip_scores(
        &self,
        (model, pictures): (&Path, &Path),
        prompt: &str,
        threads: usize,
    ) -> anyhow::Result<Value> {
        let mut process = Command::new(&self.program);
        process.arg(self.reference.join("clip_speed.py")).arg("score").args([model, pictures]);
        process.args(["--prompt", prompt]);
        let said = run(process.args(["--threads", &threads.to_string()]))?;
        let last = said.lines().next_back().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("expected JSON, found {last:?}"))
    }

    fn step(&self, command: &str, preset: &str, size: StepSize) -> Command {
        let mut process = Command::new(&self.program);
        process.arg(self.script()).args([command, "--preset", preset]);
        for (name, value) in [("--batch", size.batch), ("--latent", size.latent), ("--rank", size.rank)] {
            process.args([name, &value.to_string()]);
        }
        process
    }

    /// Makes the model, the inputs and the expected outputs of a step in `folder`.
    pub(crate) fn make(&self, preset: &str, size: StepSize, folder: &Path) -> anyhow::Result<()> {
        run(self.step("make", preset, size).arg("--out").arg(folder))?;
        Ok(())
    }

    /// Largest relative differences between expected and actual outputs, by kind; a failure beyond 1e-3.
    pub(crate) fn compare(&self, expected: &Path, actual: &Path) -> anyhow::Result<String> {
        let mut process = Command::new(&self.program);
        process.arg(self.script()).arg("compare").arg(expected).arg(actual);
        Ok(run(&mut process).context("our step is not PyTorch's")?.trim().to_owned())
    }

    /// Times a step.
    pub(crate) fn bench(
        &self,
        preset: &str,
        size: StepSize,
        (repeat, threads): (usize, usize),
        variant: Variant,
    ) -> anyhow::Result<Measurement> {
        let mut process = self.step("bench", preset, size);
        process.args(["--repeat", &repeat.to_string(), "--threads", &threads.to_string()]);
        let flags = [
            (variant.bf16, "--bf16"),
            (variant.channels_last, "--channels-last"),
            (variant.plain, "--plain"),
            (variant.checkpointing, "--checkpointing"),
        ];
        if variant.cuda {
            process.args(["--device", "cuda"]);
        }
        process.args(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag));
        Ok(Measurement::from_output(&run(&mut process)?)?.0)
    }
}
