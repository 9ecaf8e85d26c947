//! Which backend a command runs on: `--device`, or the recipe's `device`.

use fairhuman_engine::Backend;
use fairhuman_torch::Torch;
use fairhuman_train::recipe::{Device, Precision, Recipe};

use crate::cli::Compute;
use crate::{bfloat16, libtorch, machine};

/// Work for any backend. (A closure cannot be generic.)
pub trait Work {
    /// Its result.
    type Output: Send;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<Self::Output>;

    /// Does it on libtorch, for work that has a way of its own there.
    ///
    /// # Errors
    /// Its own.
    fn on_torch(self, torch: &Torch) -> anyhow::Result<Self::Output>
    where
        Self: Sized,
    {
        self.on(torch)
    }
}

/// The backend's resources.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resources {
    /// Threads of a CPU; 0 for all cores.
    pub threads: usize,
    /// Type of activations and frozen weights; none for the device's own.
    pub precision: Option<Precision>,
    /// Bytes for weights that are prepared once where the same network runs many times, as in sampling.
    pub weight_cache: usize,
}

impl From<Compute> for Resources {
    fn from(Compute { threads, precision, .. }: Compute) -> Self {
        Self { threads, precision, weight_cache: 0 }
    }
}

/// Opens the backend of `device` and does the work on it.
///
/// # Errors
/// A device that is not there or refuses the resources, and those of the work.
pub fn run<W: Work + Send>(device: Device, resources: Resources, work: W) -> anyhow::Result<W::Output> {
    let precision = resources.precision.unwrap_or(device.default_precision());
    let threads = machine::threads(resources.threads)?;
    let on = match device {
        Device::Cpu => {
            let mut cpu = machine::backend(threads)?.with_filter_cache(resources.weight_cache);
            if precision == Precision::Bf16 {
                match bfloat16::gains() {
                    true => cpu = cpu.in_bf16(),
                    false => errln!("note: precision: {}", bfloat16::description()),
                }
            }
            // All of it inside the thread pool: operations start without a detour.
            return cpu.scope(|| work.on(&cpu));
        }
        Device::TorchCpu => fairhuman_torch::Device::Cpu,
        Device::Cuda(index) => fairhuman_torch::Device::Cuda(index),
    };
    let precision = match precision {
        Precision::F32 => fairhuman_torch::Precision::F32,
        Precision::Bf16 => fairhuman_torch::Precision::Bf16,
    };
    let library = libtorch::open()?;
    library.set_threads(if threads == 0 { machine::cores() } else { threads });
    work.on_torch(&Torch::new(library, on, precision)?)
}

/// The machine and what a recipe's run uses of it, in words.
pub fn description(recipe: &Recipe) -> String {
    let machine = machine::description();
    let precision = recipe.precision().name();
    // Opening libtorch costs a hundred MiB, which a run without it does not have to pay.
    match recipe.device {
        Device::Cpu if recipe.precision() == Precision::Bf16 => {
            format!(
                "{machine}, {}",
                bfloat16::used().map_or("f32 for want of a gain".into(), |by| format!("bf16 by {by}"))
            )
        }
        Device::Cpu => machine,
        device => match libtorch::version() {
            None => machine,
            Some(version) => format!("{machine}, {device} by libtorch {version}, {precision}"),
        },
    }
}
