//! Which backend a command runs on: `--device`, or the recipe's `device`.

use fairhuman_engine::Backend;
use fairhuman_train::recipe::Device;

use crate::machine;

/// Work for any backend. (A closure cannot be generic.)
pub trait Work {
    /// Its result.
    type Output: Send;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<Self::Output>;
}

/// The backend's resources.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resources {
    /// Threads of a CPU; 0 for all cores.
    pub threads: usize,
    /// Bytes for weights that are prepared once where the same network runs many times, as in sampling.
    pub weight_cache: usize,
}

/// Opens the backend of `device` and does the work on it.
///
/// # Errors
/// A device that is not there or refuses the resources, and those of the work.
pub fn run<W: Work + Send>(device: Device, resources: Resources, work: W) -> anyhow::Result<W::Output> {
    match device {
        Device::Cpu => {
            let cpu = machine::backend(resources.threads)?.with_filter_cache(resources.weight_cache);
            // All of it inside the thread pool: operations start without a detour.
            cpu.scope(|| work.on(&cpu))
        }
    }
}
