//! `Cpu` computes what `Reference` computes on lesser machines, too. Which kernels are used is decided once
//! per process, so the agreement's tests run again in processes of their own that were told to use less.

use fairhuman_engine::{Instructions, limit_instructions};
use std::process::Command;

/// Tells a process of these tests what it may use.
const VARIABLE: &str = "FAIRHUMAN_TEST_INSTRUCTIONS";

const LIMITS: [(&str, Instructions); 3] =
    [("avx512", Instructions::Avx512), ("avx2", Instructions::Avx2), ("portable", Instructions::Portable)];

/// Obeys the variable, before any backend is made.
pub fn limit_to_what_is_asked() {
    let Ok(asked) = std::env::var(VARIABLE) else { return };
    let limit = LIMITS.iter().find(|(name, _)| *name == asked);
    let (_, limit) = limit.unwrap_or_else(|| panic!("{VARIABLE}={asked}: not one of {LIMITS:?}"));
    assert!(limit_instructions(*limit), "the kernels were chosen before the limit was set");
}

fn assert_agreement_within(limit: &str) {
    let tests = std::env::current_exe().expect("this program");
    let theorems = ["cpu::agreement::", "cpu::bf16::agreement::", "cpu::bf16::products", "cpu::bf16::conv"];
    let run = Command::new(tests).args(theorems).env(VARIABLE, limit).output().expect("this program runs");
    let report = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{limit}:\n{report}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(!report.contains("running 0 tests"), "{limit}: nothing was tested");
}

#[test]
fn kernels_for_machines_without_amx_agree() {
    assert_agreement_within("avx512");
}

#[test]
fn kernels_for_machines_without_avx512_agree() {
    assert_agreement_within("avx2");
}

#[test]
fn kernels_for_any_machine_agree() {
    assert_agreement_within("portable");
}

#[test]
fn the_first_limit_decides() {
    use Instructions::{Avx2, Avx512, Best, Portable};
    let first = [Best, Avx512, Avx2, Portable].into_iter().filter(|&limit| limit_instructions(limit)).count();
    assert_eq!(first, 1);
}
