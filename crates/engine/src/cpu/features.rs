//! Instruction sets that the kernels may use: those of the machine, or fewer, so that tests reach the kernels
//! of other machines.
//!
//! Code that the compiler vectorises (norms, pointwise functions) is compiled several times by
//! `multiversion`. For a target with AVX-512 that macro also requires all sets that came with Ice Lake
//! (VBMI2, VNNI, GFNI and others), without a way around it, so older processors, Skylake-X and Cascade Lake,
//! run such code with AVX2; products use their AVX-512.

use std::sync::OnceLock;

/// Upper limit of the instruction sets that hand-written kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// All that the machine has.
    Best,
    /// On x86-64: AVX2 and fused multiply-add, no AVX-512.
    Avx2,
    /// The architecture's baseline.
    Portable,
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
    let limit = *LIMIT.get_or_init(|| Instructions::Best);
    limit == Instructions::Best || limit == wanted
}

/// True if AVX-512F may be used.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512() -> bool {
    allows(Instructions::Best) && is_x86_feature_detected!("avx512f")
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
