//! `Cpu` conforms, with the same bits whatever the number of threads and wherever its weights lie. Its own
//! theorems:
//!
//! - [`bf16`]: in bfloat16 it conforms within its digits.
//! - [`instructions`]: the agreement once more with the kernels for machines without AMX, without AVX-512,
//!   and without AVX2.
//! - [`memory`]: an operation without memory is an error that changes nothing.
//! - [`preparation`]: jobs that meet a new weight at the same time do not wait for each other.
//! - [`scopes`]: workers that are kept awake for a pass never keep it from ending.
//! - [`stored`]: weights read as they lie in a file give the bits of those prepared in advance.
//! - [`winograd`]: chunks of tiles and kept filters change no bit.

mod bf16;
mod instructions;
mod memory;
mod preparation;
mod scopes;
mod stored;
mod winograd;

use fairhuman_engine::Cpu;
use fairhuman_engine_conformance::{Subject, Tolerances, conformance};
use std::sync::LazyLock;

/// One thread; three, a number that divides nothing, with room for the filters of some convolutions; three
/// with no room for weights prepared in advance; and sixteen, for which work is cut finer.
static SUBJECT: LazyLock<Subject<Cpu>> = LazyLock::new(|| {
    instructions::limit_to_what_is_asked();
    let roomy = Cpu::new(3).map(|cpu| cpu.with_filter_cache(1 << 20));
    let cpus = [Cpu::new(1), roomy, Cpu::with_panel_budget(3, 0), Cpu::new(16)];
    Subject::new(cpus.map(|cpu| cpu.expect("threads")).into(), Tolerances::F32, true)
});

fn subject() -> &'static Subject<Cpu> {
    &SUBJECT
}

conformance!(crate::cpu::subject);
