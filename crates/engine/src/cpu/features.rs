//! Which instruction sets the kernels may use: those of the machine, or fewer, so that tests reach the
//! kernels of other machines.
//!
//! Code that the compiler vectorises (norms, pointwise functions) is compiled several times by
//! `multiversion`. To a target with AVX-512 that macro adds all sets that came with Ice Lake (VBMI2, VNNI,
//! GFNI and others) and offers no way around it, so processors before that, Skylake-X and Cascade Lake, run
//! such code with AVX2; products use their AVX-512.

use std::sync::OnceLock;

/// The most that kernels written for an instruction set may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// Whatever the machine has.
    Best,
    /// On x86-64: AVX2 and fused multiply-add, no AVX-512.
    Avx2,
    /// What every machine of the architecture has.
    Portable,
}

static LIMIT: OnceLock<Instructions> = OnceLock::new();

/// Limits the instruction sets of this process's products and convolutions, for tests of kernels that the
/// machine would not choose. Code that the compiler vectorises (norms, pointwise functions) keeps choosing by
/// itself. Call it before anything else: the first use decides. Returns whether the limit is in force.
pub fn limit_instructions(limit: Instructions) -> bool {
    *LIMIT.get_or_init(|| limit) == limit
}

#[cfg(target_arch = "x86_64")]
fn allows(wanted: Instructions) -> bool {
    let limit = *LIMIT.get_or_init(|| Instructions::Best);
    limit == Instructions::Best || limit == wanted
}

/// AVX-512 with all that the kernels need.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512() -> bool {
    allows(Instructions::Best) && is_x86_feature_detected!("avx512f")
}

/// Whether the second-level cache is likely to have 1 MiB or more, as in processors with AVX-512, and not 512
/// KiB.
pub(super) fn large_cache() -> bool {
    #[cfg(target_arch = "x86_64")]
    return avx512();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// AVX2 and fused multiply-add.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx2() -> bool {
    allows(Instructions::Avx2) && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}
