//! Every reader of files that people bring, as a function of bytes, and mutations to feed them with. A target
//! returns for any input: what it makes of the file does not matter, only that it does not panic, overflow
//! the stack, hang or take all memory.
#![deny(missing_docs)]

mod mutate;
mod process;
mod targets;

use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

pub use mutate::mutation;
pub use process::{Outcome, limit_memory, run_apart};
pub use targets::{TARGETS, Target};

/// The longest time one input may take, in seconds.
pub const SLOWEST: f64 = 10.0;

/// The address space of a process that executes a target, in bytes. A reader that reserves what a damaged
/// file claims to hold ends it.
pub const MEMORY: u64 = 4 << 30;

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Executes a target once, in a folder of this process: for fuzzers that make their own inputs.
///
/// # Panics
/// If the reader does; without such a target; if the folder cannot be written.
pub fn execute_once(name: &str, input: &[u8]) {
    static SCRATCH: OnceLock<TempDir> = OnceLock::new();
    let scratch = SCRATCH.get_or_init(|| TempDir::new().expect("a temporary folder"));
    let target = target(name).expect("a target of that name");
    (target.run)(scratch.path(), input).expect("the temporary folder can be written");
}

impl Target {
    /// Executes the target on inputs `first..first + count` in `scratch`, an empty folder. `before` is called
    /// with each number first, so that it is known which one a process died of. `clock`: seconds since some
    /// moment.
    ///
    /// # Errors
    /// Seeds or scratch files that cannot be read or written; an input that took longer than [`SLOWEST`],
    /// twice.
    pub fn execute(
        &self,
        scratch: &Path,
        seed: u64,
        (first, count): (u64, u64),
        clock: &dyn Fn() -> f64,
        mut before: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        let seeds = self.seeds()?;
        anyhow::ensure!(!seeds.is_empty(), "{}: there are no seeds", self.name);
        for number in first..first + count {
            before(number);
            let input = mutation(&seeds, seed, number);
            let timed = || {
                let start = clock();
                (self.run)(scratch, &input)?;
                anyhow::Ok(clock() - start)
            };
            // A machine that stood still for a while is no fault of the input: it is tried again.
            if timed()? >= SLOWEST {
                let took = timed()?;
                anyhow::ensure!(took < SLOWEST, "{}: input {number} took {took:.1} s", self.name);
            }
        }
        Ok(())
    }
}
