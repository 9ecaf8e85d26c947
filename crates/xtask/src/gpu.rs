//! `xtask gpu`: one script for a machine with a card. It runs what no test can run without one, and measures:
//! the conformance of the backend, a recorded step beside the CPU's, SDXL's training step beside PyTorch's,
//! pictures, and training as a whole. Every part is one line or table of the report; a part that fails says
//! so, and the others go on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;

use crate::measurements::Measurement;
use crate::python::{Python, Variant};
use crate::step::{StepSize, write_synthetic};
use crate::{machine, ours};

/// `xtask gpu`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
libtorch is found as `fairhuman` finds it (FAIRHUMAN_LIBTORCH, $VIRTUAL_ENV, python3). --device torch-cpu with --small \
runs every part in a few minutes on a machine without a card, to see that the script works.")]
pub(crate) struct Gpu {
    /// The device: cuda, cuda:N, torch-cpu
    #[arg(long, value_name = "DEVICE", default_value = "cuda")]
    device: String,
    /// Small networks and few steps in place of SDXL's, tests without the release profile
    #[arg(long)]
    small: bool,
    /// A Python with PyTorch, diffusers and PEFT: their step is measured beside ours
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// A fairhuman that is built already, in place of this source's
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Leave out the conformance tests, which are compiled first
    #[arg(long)]
    no_conformance: bool,
}

/// Sizes of the measured work.
struct Sizes {
    preset: &'static str,
    /// Side of the latents, and of the pictures in pixels.
    latent: usize,
    pixels: usize,
    ranks: &'static [usize],
    sampling_steps: usize,
    training_steps: u64,
}

const SDXL: Sizes = Sizes {
    preset: "sdxl",
    latent: 128,
    pixels: 1024,
    ranks: &[64, 256],
    sampling_steps: 30,
    training_steps: 4000,
};
const SMALL: Sizes =
    Sizes { preset: "tiny", latent: 16, pixels: 64, ranks: &[4], sampling_steps: 3, training_steps: 20 };

/// Repeats of a step.
const REPEATS: usize = 5;
/// Largest difference between the golden step's results on the device and on the CPU, as a share of their
/// norm.
const TOLERANCE: &str = "1e-3";

/// The script's surroundings.
struct Script {
    options: Gpu,
    sizes: &'static Sizes,
    root: PathBuf,
    folder: PathBuf,
    binary: PathBuf,
}

/// Runs all parts.
pub(crate) fn run(options: &Gpu) -> anyhow::Result<()> {
    let root = xtask::root()?;
    let binary = ours::binary(options.binary.as_deref(), &root)?;
    let folder = root.join("target/gpu");
    std::fs::create_dir_all(&folder)?;
    let sizes = if options.small { &SMALL } else { &SDXL };
    let script = Script { options: options.clone(), sizes, root, folder, binary };
    println!("{}", ours::run(Command::new(&script.binary).arg("version"))?.trim());
    let mut parts: Vec<Part> = vec![
        ("conformance", Script::conformance),
        ("a recorded step beside the CPU's", Script::recorded_step),
        ("training step", Script::steps),
        ("pictures", Script::pictures),
        ("training of the built-in model", Script::training),
    ];
    parts.retain(|(name, _)| !(options.no_conformance && *name == "conformance"));
    let mut failed = 0;
    for (name, part) in parts {
        let start = Instant::now();
        let said = part(&script).unwrap_or_else(|error| {
            failed += 1;
            format!("FAILED: {error:#}")
        });
        println!("\n{name} ({:.0} s)\n{said}", start.elapsed().as_secs_f64());
    }
    ensure!(failed == 0, "{failed} parts failed");
    Ok(())
}

/// A part's name, and what runs it and gives its report.
type Part = (&'static str, fn(&Script) -> anyhow::Result<String>);

impl Script {
    fn on_card(&self) -> bool {
        self.options.device.starts_with("cuda")
    }

    /// The tests of crates/torch, on the device.
    fn conformance(&self) -> anyhow::Result<String> {
        let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        tests.current_dir(&self.root).args(["test", "-p", "fairhuman-torch", "--test", "it"]);
        if !self.options.small {
            tests.arg("--release");
        }
        tests.env("FAIRHUMAN_TEST_DEVICE", if self.on_card() { "cuda" } else { "cpu" });
        let said = ours::run(&mut tests)?;
        let line = said.lines().rfind(|line| line.starts_with("test result")).unwrap_or_default();
        Ok(line.to_owned())
    }

    /// `fairhuman replay` of a model's step, with its outputs in a file of the device and precision.
    fn replay(
        &self,
        (device, precision): (&str, &str),
        (model, inputs): (&Path, &Path),
    ) -> (Command, PathBuf) {
        let outputs = self.folder.join(format!("{}-{precision}.safetensors", device.replace(':', "-")));
        let mut command = Command::new(&self.binary);
        command.args(["replay", "--device", device, "--precision", precision]);
        command.arg("--model").arg(model).arg("--inputs").arg(inputs).arg("--outputs").arg(&outputs);
        (command, outputs)
    }

    /// The golden step of the program's tests, on the device in both precisions and on the CPU.
    fn recorded_step(&self) -> anyhow::Result<String> {
        let golden = self.root.join("crates/fairhuman/tests/golden");
        let files = (golden.join("model"), golden.join("inputs.safetensors"));
        let files = (files.0.as_path(), files.1.as_path());
        let (mut on_cpu, expected) = self.replay(("cpu", "f32"), files);
        ours::run(&mut on_cpu)?;
        let mut said = String::new();
        for (precision, tolerance) in [("f32", TOLERANCE), ("bf16", "1")] {
            let (mut replay, _) = self.replay((&self.options.device, precision), files);
            replay.arg("--expected").arg(&expected).args(["--tolerance", tolerance]);
            let differences = ours::run(&mut replay)?;
            for line in differences.lines().filter(|line| !line.starts_with('{')) {
                let words: Vec<&str> = line.split_whitespace().take(2).collect();
                said += &format!("{precision}: largest relative difference of {}\n", words.join(" "));
            }
        }
        Ok(said.trim_end().to_owned())
    }

    /// The exact step of three objectives by rank, kept and checkpointed, beside PyTorch's.
    fn steps(&self) -> anyhow::Result<String> {
        let model = self.folder.join(self.sizes.preset);
        if !model.join("model_index.json").exists() {
            let mut init = Command::new(&self.binary);
            init.args(["init-model", "--preset", self.sizes.preset, "--dtype", "bf16", "--out"]).arg(&model);
            ours::run(&mut init)?;
        }
        let python = self.options.python.as_ref().map(|program| Python::given(&self.root, program));
        let mut said = String::from("| step | ms | MiB of the device |\n|---|---|---|");
        let mut row = |name: &str, measured: anyhow::Result<Measurement>| {
            said += &match measured {
                Ok(Measurement { step, device, .. }) => {
                    let memory = device.map_or("not known".to_owned(), |mib| format!("{mib:.0}"));
                    format!("\n| {name} | {step:.1} | {memory} |")
                }
                Err(error) => format!("\n| {name} | FAILED: {} | |", error.to_string().replace('\n', " ")),
            };
        };
        let repeats = REPEATS.to_string();
        for &rank in self.sizes.ranks {
            let size = StepSize { batch: 1, latent: self.sizes.latent, rank };
            let inputs = self.folder.join(format!("inputs-{rank}.safetensors"));
            write_synthetic(&model, size, &inputs)?;
            let device = (self.options.device.as_str(), "bf16");
            for (name, flags) in [("kept", &[][..]), ("checkpointed", &["--checkpointing"])] {
                let extra = [&["--repeat", &repeats][..], flags].concat();
                let (mut replay, _) = self.replay(device, (&model, &inputs));
                let said = ours::run(replay.args(&extra));
                let measured = said.and_then(|said| Measurement::from_output(&said));
                row(&format!("rank {rank}, ours, {name}"), measured.map(|(times, _)| times));
            }
            let Some(python) = &python else { continue };
            let bf16 = Variant { bf16: true, cuda: self.on_card(), ..Variant::default() };
            for (name, variant) in [
                ("three backward passes", bf16),
                ("three backward passes, checkpointed", Variant { checkpointing: true, ..bf16 }),
                ("one objective", Variant { plain: true, ..bf16 }),
            ] {
                let repeat = (REPEATS, machine::cores());
                row(
                    &format!("rank {rank}, PyTorch, {name}"),
                    python.bench(self.sizes.preset, size, repeat, variant),
                );
            }
        }
        Ok(said)
    }

    /// One picture by the random model of [`Script::steps`].
    fn pictures(&self) -> anyhow::Result<String> {
        let mut sample = Command::new(&self.binary);
        let (side, steps) = (self.sizes.pixels.to_string(), self.sizes.sampling_steps.to_string());
        sample.args(["sample", "--prompt", "a woman", "--device", &self.options.device, "--steps", &steps]);
        sample.args(["--width", &side, "--height", &side]);
        sample.arg("--model").arg(self.folder.join(self.sizes.preset));
        let said = ours::run(sample.arg("--out").arg(self.folder.join("pictures")))?;
        let first = said.lines().next().context("nothing was said")?;
        Ok(format!("{side} x {side}, {steps} steps, the first with all preparations: {first}"))
    }

    /// The built-in model's training: many short steps, in which the host's part counts.
    fn training(&self) -> anyhow::Result<String> {
        let people = self.folder.join("people");
        if !people.join("metadata.jsonl").exists() {
            let mut draw = Command::new(&self.binary);
            ours::run(draw.args(["people", "--count", "64", "--size", "96", "--out"]).arg(&people))?;
        }
        let builtin = ours::run(Command::new(&self.binary).args(["models", "builtin"]))?;
        let steps = self.sizes.training_steps;
        let recipe = self.folder.join("built-in.toml");
        let text = format!(
            "steps = {steps}\nbatch = 4\nmodel.path = {:?}\ndataset.path = {people:?}\n\
             geometry = {{ width = 96, height = 96 }}\nlora = {{ rank = 16 }}\noptimizer.learning_rate = 1e-3\n\
             checkpoints.every = {steps}\nobjective = [{{ name = \"global\" }}, \
             {{ name = \"face\", mask = \"mask_face\" }}, {{ name = \"hand\", mask = \"mask_hand\" }}]\n",
            builtin.trim()
        );
        std::fs::write(&recipe, text)?;
        let out = self.folder.join("run");
        if out.exists() {
            std::fs::remove_dir_all(&out)?;
        }
        let start = Instant::now();
        let mut train = Command::new(&self.binary);
        train.arg("train").arg(&recipe).arg("--out").arg(&out).args(["--device", &self.options.device]);
        ours::run(&mut train)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(format!(
            "{steps} steps of batch 4 in {seconds:.1} s with all preparations, {:.1} a second",
            steps as f64 / seconds
        ))
    }
}
