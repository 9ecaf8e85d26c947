//! Scopes inside of a scope keep the workers awake: each ends, also where threads are more than cores and
//! operations begin while the workers are only being told.

use fairhuman_engine::{Backend, Cpu};
use fairhuman_engine_conformance::numbers::tensor;

#[test]
fn scopes_within_a_scope_end() {
    let cpu = &Cpu::new(16).expect("threads");
    let x = tensor(cpu, 1, &[16, 1 << 14]);
    cpu.scope(|| {
        for _ in 0..20_000 {
            let y = cpu.scope(|| cpu.add(&x, &x));
            assert_eq!(Cpu::shape(&y), Cpu::shape(&x));
        }
    });
}
