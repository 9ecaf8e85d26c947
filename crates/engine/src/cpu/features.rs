//! Which instruction sets the kernels may use.

/// AVX-512 with all that the kernels need.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// AVX2 and fused multiply-add.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}
