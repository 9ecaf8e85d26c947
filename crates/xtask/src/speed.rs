//! `xtask speed`: PyTorch and ours in turn, on the same steps, with the same threads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use fairhuman_engine::{Cpu, peak};

use crate::measurements::Series;
use crate::python::Python;
use crate::report::{Machine, Report};
use crate::step::{StepSize, write_synthetic, write_without_hands};
use crate::{Speed, machine, marked, operations, ours, python, report};

/// Names of the runs.
pub(crate) const F32: &str = "PyTorch f32, exact";
pub(crate) const F32_LAST: &str = "PyTorch f32 channels_last, exact";
pub(crate) const BF16: &str = "PyTorch bf16, exact";
pub(crate) const BF16_LAST: &str = "PyTorch bf16 channels_last, exact";
pub(crate) const PLAIN: &str = "PyTorch f32, one objective";
pub(crate) const OURS: &str = "ours, exact";
pub(crate) const NO_HAND: &str = "ours, no hand in the batch";
pub(crate) const CHECKPOINTED: &str = "ours, checkpointing";
pub(crate) const ONE_THREAD: &str = "ours, one thread";

/// A step that both sides take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    /// Size of the network, a preset of `step_reference.py`.
    pub preset: &'static str,
    pub size: StepSize,
    /// Whether it is the one that most goals are about.
    pub main: bool,
}

const MINI: Workload =
    Workload { preset: "mini", size: StepSize { batch: 4, latent: 32, rank: 16 }, main: true };
const LARGE_IMAGE: Workload =
    Workload { preset: "mini", size: StepSize { batch: 1, latent: 64, rank: 16 }, main: false };
const WIDE: Workload = Workload { preset: "mini4x", ..Workload { main: false, ..MINI } };

impl Workload {
    fn folder(&self) -> String {
        let StepSize { batch, latent, rank } = self.size;
        format!("{}-batch{batch}-latent{latent}-rank{rank}", self.preset)
    }

    pub(crate) fn title(&self) -> String {
        let StepSize { batch, latent, rank } = self.size;
        format!("{}, batch {batch}, latents {latent}x{latent}, rank {rank}", self.preset)
    }
}

/// All runs of a workload, by name.
pub(crate) type Runs = BTreeMap<&'static str, Series>;

/// Who does the work of a run.
enum Work {
    Torch(python::Variant),
    Ours { inputs: &'static str, threads: usize, variant: ours::Variant },
}

/// Inputs of the runs.
struct Bench {
    binary: PathBuf,
    folder: PathBuf,
    python: Option<Python>,
    threads: usize,
    pairs: usize,
    repeat: usize,
}

impl Bench {
    /// The model and inputs of a workload, made where they are not there yet. False where they cannot be.
    fn prepare(&self, workload: &Workload) -> anyhow::Result<bool> {
        let folder = self.folder(workload);
        let done = folder.join("complete");
        if done.exists() {
            return Ok(true);
        }
        std::fs::create_dir_all(&folder)?;
        eprintln!("making {}", folder.display());
        match &self.python {
            Some(python) => python.make(workload.preset, workload.size, &folder)?,
            None if workload.preset == "mini" => {
                ours::init_model(&self.binary, workload.preset, &folder.join("model"))?;
                write_synthetic(&folder.join("model"), workload.size, &folder.join("inputs.safetensors"))?;
            }
            None => return Ok(false),
        }
        write_without_hands(&folder.join("inputs.safetensors"), &folder.join("no-hand.safetensors"))?;
        let least = StepSize { batch: 1, latent: 8, rank: workload.size.rank };
        write_synthetic(&folder.join("model"), least, &folder.join("least.safetensors"))?;
        std::fs::write(done, "")?;
        Ok(true)
    }

    fn folder(&self, workload: &Workload) -> PathBuf {
        let made_by = if self.python.is_some() { "torch" } else { "ours" };
        self.folder.join(made_by).join(workload.folder())
    }

    fn replay(
        &self,
        workload: &Workload,
        inputs: &str,
        run: (usize, usize),
        variant: ours::Variant,
    ) -> anyhow::Result<(crate::measurements::Measurement, String)> {
        let folder = self.folder(workload);
        let (inputs, outputs) = (folder.join(inputs), folder.join("outputs.safetensors"));
        ours::replay(&self.binary, &folder.join("model"), &inputs, &outputs, run, variant)
    }

    /// The runs of a workload, `pairs` times; every other time in reverse order.
    fn runs(&self, workload: &Workload, works: &[(&'static str, Work)]) -> anyhow::Result<Runs> {
        let mut runs = Runs::new();
        let (pairs, repeat) = if workload.preset == WIDE.preset { (1, 2) } else { (self.pairs, self.repeat) };
        for pair in 0..pairs {
            let mut order: Vec<_> = works.iter().collect();
            if pair % 2 == 1 {
                order.reverse();
            }
            for (name, work) in order {
                let measured = match (work, &self.python) {
                    (Work::Torch(variant), Some(python)) => {
                        python.bench(workload.preset, workload.size, (repeat, self.threads), *variant)?
                    }
                    (Work::Torch(_), None) => continue,
                    (Work::Ours { inputs, threads, variant }, _) => {
                        self.replay(workload, inputs, (repeat, *threads), *variant)?.0
                    }
                };
                eprintln!("{} ({} of {pairs}): {name}: {:.0} ms", workload.title(), pair + 1, measured.step);
                runs.entry(*name).or_default().0.push(measured);
            }
        }
        Ok(runs)
    }

    /// Difference between our step and PyTorch's.
    fn difference(&self, workload: &Workload) -> anyhow::Result<Option<String>> {
        let Some(python) = &self.python else { return Ok(None) };
        let folder = self.folder(workload);
        self.replay(workload, "inputs.safetensors", (1, self.threads), ours::Variant::default())?;
        python.compare(&folder.join("expected.safetensors"), &folder.join("outputs.safetensors")).map(Some)
    }
}

/// Runs by name, in the order in which they are made.
type Works = Vec<(&'static str, Work)>;

/// The runs of the main workload, and of the others: PyTorch and ours in turn, so that both meet the same
/// moods of the machine.
fn works(threads: usize) -> (Works, Works) {
    let torch = |bf16, channels_last, plain| {
        Work::Torch(python::Variant { bf16, channels_last, plain, ..python::Variant::default() })
    };
    let ours = |inputs, threads, checkpointing| Work::Ours {
        inputs,
        threads,
        variant: ours::Variant { checkpointing, profile: false },
    };
    let all = || ours("inputs.safetensors", threads, false);
    let mut main = vec![
        (F32, torch(false, false, false)),
        (OURS, all()),
        (BF16, torch(true, false, false)),
        (NO_HAND, ours("no-hand.safetensors", threads, false)),
        (BF16_LAST, torch(true, true, false)),
        (F32_LAST, torch(false, true, false)),
        (CHECKPOINTED, ours("inputs.safetensors", threads, true)),
        (PLAIN, torch(false, false, true)),
    ];
    if threads > 1 {
        main.push((ONE_THREAD, ours("inputs.safetensors", 1, false)));
    }
    let mut other = vec![
        (F32, torch(false, false, false)),
        (OURS, all()),
        (BF16, torch(true, false, false)),
        (PLAIN, torch(false, false, true)),
    ];
    // Without bfloat16 instructions PyTorch emulates them: minutes a step.
    if !machine::multiplies_bf16() {
        eprintln!("this processor has no bfloat16 instructions: PyTorch is measured in f32 only");
        let bf16 = |work: &Work| matches!(work, Work::Torch(variant) if variant.bf16);
        main.retain(|(_, work)| !bf16(work));
        other.retain(|(_, work)| !bf16(work));
    }
    (main, other)
}

/// Measures everything and prints the report.
pub(crate) fn run(options: &Speed) -> anyhow::Result<()> {
    let start = Instant::now();
    let root = xtask::root()?;
    let threads = options.threads.map_or_else(machine::cores, usize::from);
    let python = match (&options.python, options.no_python) {
        (_, true) => None,
        (Some(program), _) => Some(Python::given(&root, program)),
        (None, _) => Python::pinned(&root)?,
    };
    if python.is_none() {
        eprintln!("without Python: only our side is measured");
    }
    let binary = ours::binary(options.binary.as_deref(), &root)?;
    let load = machine::load();
    if load.is_some_and(|load| load > 0.5) {
        eprintln!("other programs are busy (load {:.1}): the numbers will be off", load.unwrap_or_default());
    }
    let bench = Bench {
        binary,
        folder: root.join("target/speed"),
        python,
        threads,
        pairs: options.pairs.map_or(if options.quick { 1 } else { 5 }, usize::from),
        repeat: if options.quick { 2 } else { 5 },
    };

    let clock = || start.elapsed().as_secs_f64();
    let mut peak = peak::measure(threads, &clock);
    eprintln!("peak: {:.0} GFLOP/s ({})", peak.gflops, peak.instructions);
    let cpu = Cpu::new(threads).context("cannot start the threads")?;
    let operations = operations::measure(&cpu, if options.quick { 3 } else { 11 });
    drop(cpu);
    peak.gflops = peak.gflops.max(peak::measure(threads, &clock).gflops);

    let (main, other) = works(threads);
    let mut workloads = Vec::new();
    let mut differences = Vec::new();
    let mut least_memory = None;
    let mut profile = String::new();
    for workload in [MINI, LARGE_IMAGE, WIDE] {
        if options.quick && workload.preset == WIDE.preset || !bench.prepare(&workload)? {
            continue;
        }
        differences.extend(bench.difference(&workload)?.map(|d| (workload, d)));
        let works = if workload.main { &main } else { &other };
        workloads.push((workload, bench.runs(&workload, works)?));
        if workload.main {
            let variant = ours::Variant::default();
            least_memory = bench.replay(&workload, "least.safetensors", (1, threads), variant)?.0.memory;
            let variant = ours::Variant { profile: true, ..variant };
            let run = (2 * bench.repeat, threads);
            profile = bench.replay(&workload, "inputs.safetensors", run, variant)?.1;
        }
    }

    let machine = Machine {
        processor: machine::processor(),
        instructions: machine::instructions(),
        memory_gib: machine::memory_gib(),
        threads,
        load,
        torch: bench.python.as_ref().map(Python::torch).transpose()?,
        sources: machine::sources(&root),
    };
    let report = Report {
        machine,
        pairs: bench.pairs,
        repeat: bench.repeat,
        peak: peak.gflops,
        peak_instructions: peak.instructions,
        workloads,
        least_memory,
        operations,
        differences,
        profile,
        minutes: start.elapsed().as_secs_f64() / 60.0,
    };
    let text = report::markdown(&report);
    println!("{text}");
    if let Some(path) = &options.out {
        marked::write(path, "speed", &text)?;
        eprintln!("written to {}", path.display());
    }
    Ok(())
}
