//! Scopes inside of a scope keep the workers awake: each ends, also where threads are more than cores and operations begin
//! while the workers are only being told.

use crate::common::{CPUS, tensor};
use fairhuman_engine::{Backend, Cpu};

#[test]
fn scopes_within_a_scope_end() {
    let cpu = &CPUS[3];
    let x = tensor(cpu, 1, &[16, 1 << 14]);
    cpu.scope(|| {
        for _ in 0..20_000 {
            let y = cpu.scope(|| cpu.add(&x, &x));
            assert_eq!(Cpu::shape(&y), Cpu::shape(&x));
        }
    });
}
