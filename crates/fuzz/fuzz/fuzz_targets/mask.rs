//! The target `mask`, guided by coverage.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fairhuman_fuzz::execute_once("mask", input));
