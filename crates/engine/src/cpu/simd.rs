//! A vector of f32 as wide as the machine's registers: the arithmetic that code needs which the compiler does
//! not vectorise by itself. Functions generic over [`Vector`] are inlined into entry points that enable the
//! instruction set; [`with_widest`] picks one of them at run time.

/// Lanes of f32 that are computed together.
///
/// # Safety
/// Methods of a type may only be called where its instruction set is enabled. `load` reads and `store` writes
/// the first `count` values at an address, or all lanes where `count` is larger; these must be valid.
pub(super) trait Vector: Copy {
    /// Number of lanes.
    const LANES: usize;
    unsafe fn splat(value: f32) -> Self;
    /// The first `count` values, zeros beyond.
    unsafe fn load(from: *const f32, count: usize) -> Self;
    /// Writes the first `count` lanes.
    unsafe fn store(self, to: *mut f32, count: usize);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// `self * factor + addend`.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
}

/// The fallback without intrinsics, for machines without AVX.
impl Vector for [f32; 4] {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 4]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32, count: usize) -> Self {
        let mut values = [0.0; 4];
        // SAFETY: reads `count` values, at most four.
        unsafe { std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), count.min(4)) };
        values
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, count: usize) {
        // SAFETY: writes `count` values, at most four.
        unsafe { std::ptr::copy_nonoverlapping(self.as_ptr(), to, count.min(4)) };
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] - other[i])
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        std::array::from_fn(|i| self[i] * factor[i] + addend[i])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    impl Vector for __m512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: AVX-512 is enabled, as the trait requires.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32, count: usize) -> Self {
            // SAFETY: AVX-512 is enabled, and masked lanes are not read.
            unsafe {
                if count >= 16 {
                    _mm512_loadu_ps(from)
                } else {
                    _mm512_maskz_loadu_ps((1u16 << count) - 1, from)
                }
            }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32, count: usize) {
            // SAFETY: AVX-512 is enabled, and masked lanes are not written.
            unsafe {
                if count >= 16 {
                    _mm512_storeu_ps(to, self)
                } else {
                    _mm512_mask_storeu_ps(to, (1u16 << count) - 1, self)
                }
            }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: AVX-512 is enabled, as the trait requires.
            unsafe { _mm512_add_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: AVX-512 is enabled, as the trait requires.
            unsafe { _mm512_sub_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: AVX-512 is enabled, as the trait requires.
            unsafe { _mm512_fmadd_ps(self, factor, addend) }
        }
    }

    impl Vector for __m256 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: AVX2 and FMA are enabled, as the trait requires.
            unsafe { _mm256_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32, count: usize) -> Self {
            // SAFETY: AVX is enabled; reads eight values or `count`.
            unsafe {
                if count >= 8 {
                    return _mm256_loadu_ps(from);
                }
                let mut values = [0.0; 8];
                std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), count);
                _mm256_loadu_ps(values.as_ptr())
            }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32, count: usize) {
            // SAFETY: AVX is enabled; writes eight values or `count`.
            unsafe {
                if count >= 8 {
                    return _mm256_storeu_ps(to, self);
                }
                let mut values = [0.0; 8];
                _mm256_storeu_ps(values.as_mut_ptr(), self);
                std::ptr::copy_nonoverlapping(values.as_ptr(), to, count);
            }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: AVX2 and FMA are enabled, as the trait requires.
            unsafe { _mm256_add_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: AVX2 and FMA are enabled, as the trait requires.
            unsafe { _mm256_sub_ps(self, other) }
        }

        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: AVX2 and FMA are enabled, as the trait requires.
            unsafe { _mm256_fmadd_ps(self, factor, addend) }
        }
    }
}

/// A computation that is generic over the vector type.
pub(super) trait SimdKernel {
    /// Runs it.
    ///
    /// # Safety
    /// `V`'s instruction set must be enabled, and the kernel's own conditions must hold.
    unsafe fn run<V: Vector>(self);
}

/// Runs `kernel` with the widest vectors of this machine.
///
/// # Safety
/// The kernel's own conditions.
pub(super) unsafe fn with_widest(kernel: impl SimdKernel) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m512};

        #[target_feature(enable = "avx512f")]
        unsafe fn with_avx512(kernel: impl SimdKernel) {
            // SAFETY: this function enables AVX-512; the kernel's conditions are this function's.
            unsafe { kernel.run::<__m512>() }
        }
        #[target_feature(enable = "avx2,fma")]
        unsafe fn with_avx2(kernel: impl SimdKernel) {
            // SAFETY: this function enables AVX2; the kernel's conditions are this function's.
            unsafe { kernel.run::<__m256>() }
        }
        if super::features::avx512() {
            // SAFETY: AVX-512 was just detected.
            return unsafe { with_avx512(kernel) };
        }
        if super::features::avx2() {
            // SAFETY: AVX2 and FMA were just detected.
            return unsafe { with_avx2(kernel) };
        }
    }
    // SAFETY: arrays need no instruction set.
    unsafe { kernel.run::<[f32; 4]>() }
}
