//! Instruction sets that the kernels may use: those of the machine, or fewer, so that tests reach the kernels
//! of other machines.
//!
//! Code that the compiler vectorises (norms, pointwise functions) is compiled several times by
//! `multiversion`. For a target with AVX-512 that macro also requires all sets that came with Ice Lake
//! (VBMI2, VNNI, GFNI and others), without a way around it, so older processors, Skylake-X and Cascade Lake,
//! run such code with AVX2; products use their AVX-512.

use std::sync::OnceLock;

/// Upper limit of the instruction sets that hand-written kernels use, each with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instructions {
    /// The architecture's baseline.
    Portable,
    /// On x86-64: AVX2 and fused multiply-add, no AVX-512.
    Avx2,
    /// On x86-64: AVX-512, with its instructions for bfloat16, no AMX.
    Avx512,
    /// All that the machine has.
    Best,
}

static LIMIT: OnceLock<Instructions> = OnceLock::new();

/// Limits the instruction sets of this process's products and convolutions, for tests of kernels that the
/// machine would not choose. Code that the compiler vectorises (norms, pointwise functions) is not affected.
/// Call it before anything else: the first use decides. Returns true if the limit is in force.
pub fn limit_instructions(limit: Instructions) -> bool {
    *LIMIT.get_or_init(|| limit) == limit
}

#[cfg(target_arch = "x86_64")]
fn allows(wanted: Instructions) -> bool {
    *LIMIT.get_or_init(|| Instructions::Best) >= wanted
}

/// True if AMX may be used for bfloat16.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) fn amx() -> bool {
    allows(Instructions::Best) && super::bf16::has_amx()
}

/// True if AVX-512's instructions for bfloat16 may be used.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512_bf16() -> bool {
    allows(Instructions::Avx512) && is_x86_feature_detected!("avx512bf16")
}

/// True if AVX-512F may be used.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512() -> bool {
    allows(Instructions::Avx512) && is_x86_feature_detected!("avx512f")
}

/// True if the second-level cache is likely to have 1 MiB or more, as in processors with AVX-512, rather than
/// 512 KiB.
pub(super) fn large_cache() -> bool {
    #[cfg(target_arch = "x86_64")]
    return avx512();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// True if AVX2 and fused multiply-add may be used.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx2() -> bool {
    allows(Instructions::Avx2) && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}
