//! `fairhuman replay`: one recorded step, its numbers and its time.

use std::path::Path;
use std::process::ExitCode;

use fairhuman_engine::Backend;
use fairhuman_engine::observe::Observer;
use fairhuman_files::{Kind, ensure_apart, ensure_ours};
use fairhuman_train::module::PassContext;
use fairhuman_train::recipe::GradientUse;
use fairhuman_train::recorded::{
    RecordedStep, TensorFile, differences, read_inputs, read_tensors, write_tensors,
};
use fairhuman_train::replay::{Times, replay};
use serde_json::json;

use super::there::ensure_there;
use crate::activations::Activations;
use crate::cli::Replay;
use crate::device::{self, Work};
use crate::profile::Profile;
use crate::{clock, machine, memory};

/// Runs before the ones that are timed.
const WARM_UP: usize = 2;

/// Replays, writes the outputs, prints the times.
pub fn run(options: &Replay) -> anyhow::Result<ExitCode> {
    let mut read =
        vec![("the model", options.model.as_path()), ("the recorded step", options.inputs.as_path())];
    read.extend(options.expected.iter().map(|path| ("what is expected", path.as_path())));
    read.extend(options.control.iter().map(|path| ("the control network", path.as_path())));
    ensure_there(&read)?;
    ensure_apart(std::slice::from_ref(&options.outputs), &read)?;
    ensure_ours(&options.outputs, Kind::Tensors)?;
    let inputs = read_inputs(&options.inputs)?;
    let expected = options.expected.as_deref().map(read_tensors).transpose()?;
    let outputs =
        device::run(options.compute.device, options.compute.into(), Timing { step: &inputs, options })?;
    Ok(match (expected, &options.expected) {
        (Some(expected), Some(file)) => compare(&outputs, &expected, file, options.tolerance)?,
        _ => ExitCode::SUCCESS,
    })
}

/// Prints the largest difference of every kind of tensor; fails beyond the tolerance.
fn compare(
    outputs: &TensorFile,
    expected: &TensorFile,
    file: &Path,
    tolerance: f64,
) -> anyhow::Result<ExitCode> {
    let found =
        differences(outputs, expected).map_err(|problem| anyhow::anyhow!("{}: {problem}", file.display()))?;
    for (kind, difference) in &found {
        outln!("{kind:<14} {difference:.1e} from {}", file.display());
    }
    let worst = found.values().copied().fold(0.0, f64::max);
    if worst <= tolerance {
        return Ok(ExitCode::SUCCESS);
    }
    errln!("error: {worst:.1e} is more than --tolerance {tolerance}");
    Ok(ExitCode::FAILURE)
}

struct Timing<'a> {
    step: &'a RecordedStep,
    options: &'a Replay,
}

impl Work for Timing<'_> {
    type Output = TensorFile;

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<TensorFile> {
        time(backend, self.step, self.options)
    }
}

fn time(backend: &impl Backend, step: &RecordedStep, options: &Replay) -> anyhow::Result<TensorFile> {
    let clock = clock::start();
    let profile = Profile::default();
    let observer = options.profile.then_some(&profile as &dyn Observer);
    let activations = Activations::new(backend, observer);
    let observer = Some(&activations as &dyn Observer);
    let context =
        PassContext { backend, checkpointing: options.checkpointing, clock: &clock, observer, watcher: None };
    let warm_up = if options.repeat.is_some() { WARM_UP } else { 0 };
    let repeats = usize::try_from(options.repeat.unwrap_or(1))?;
    let gradients = if options.two_passes { GradientUse::Twice } else { GradientUse::Kept };
    let networks = (options.model.as_path(), options.control.as_deref());
    let (outputs, times) = replay(&context, networks, step, (warm_up + repeats, gradients), &mut |repeat| {
        activations.restart();
        if repeat == warm_up {
            profile.clear();
        }
    })?;
    write_tensors(&options.outputs, &outputs)?;
    let times = &times[warm_up..];
    let median = |part: fn(&Times) -> f64| 1e3 * median(times.iter().map(part).collect());
    if options.profile {
        // The pool's threads are idle by now.
        let mean = times.iter().map(|t| t.step).sum::<f64>() / times.len() as f64;
        outln!("{}", profile.table(times.len(), mean, backend.measure_peak(&clock)));
    }
    outln!(
        "{}",
        json!({
            "forward_ms": median(|t| t.forward),
            "backward_ms": median(|t| t.backward),
            "solve_ms": median(|t| t.solve),
            "update_ms": median(|t| t.update),
            "step_ms": median(|t| t.step),
            "activations_mb": activations.mib(),
            "peak_rss_mb": machine::peak_memory_mib(),
            "device_memory_mb": memory::taken_mib(options.compute.device),
        })
    );
    Ok(outputs)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => 0.5 * (values[n / 2 - 1] + values[n / 2]),
    }
}
