//! The machine's peak of multiply-adds per second, to which measured speeds are related, and the rate of its
//! products of bfloat16 beside it.
//!
//! Every thread runs independent chains of fused multiply-adds in sixteen registers: more chains than latency
//! times units on any known core, and nothing in the loop but arithmetic.

use std::hint::black_box;
use std::sync::Barrier;

/// Independent chains.
const CHAINS: usize = 16;
/// Steps of every chain in one round: about 20 ms.
const STEPS: usize = 4_000_000;
/// Rounds; the fastest is the result.
const ROUNDS: usize = 15;

/// Operations of a round of [`probe`]: a millisecond of a slow core, and long enough for a clock.
const PROBED: usize = 200_000_000;
/// Rounds of [`probe`].
const PROBES: usize = 5;
/// The least speed beside f32 that products of bfloat16 must have to be worth their rounding. Those that are
/// there are 0.5, 1.9 or 8 times as fast, so no measurement comes near it.
const GAIN: f64 = 1.3;

/// A loop of so many steps. Returns a value that depends on all of them, and the number of operations.
type Loop = fn(usize) -> (f32, usize);

/// The measured peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// GFLOP/s in f32 of all threads together.
    pub gflops: f64,
    /// Name of the instruction set used.
    pub instructions: &'static str,
}

/// The rates of one core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Multiply-adds of f32.
    pub f32: Peak,
    /// Products of bfloat16 with sums of f32, where there are instructions for them.
    pub bf16: Option<Peak>,
}

impl Rates {
    /// Speed of bfloat16 beside f32: zero without instructions for it.
    pub fn gain(&self) -> f64 {
        self.bf16.map_or(0.0, |bf16| bf16.gflops / self.f32.gflops)
    }

    /// True if products of bfloat16 are so much faster that they should be used.
    pub fn gains(&self) -> bool {
        self.gain() >= GAIN
    }
}

/// Measures the rates of one core, which takes some milliseconds. `clock` returns seconds since a fixed
/// moment.
pub fn probe(clock: &dyn Fn() -> f64) -> Rates {
    let (work, instructions) = choose();
    let f32 = Peak { gflops: fastest(&|steps| work(steps).1, clock), instructions };
    let bf16 = crate::cpu::bf16::rate();
    let bf16 = bf16.map(|(instructions, work)| Peak { gflops: fastest(&work, clock), instructions });
    Rates { f32, bf16 }
}

/// The fastest of some short rounds of a loop, in GFLOP/s.
fn fastest(work: &dyn Fn(usize) -> usize, clock: &dyn Fn() -> f64) -> f64 {
    let steps = PROBED / work(1).max(1);
    let round = || {
        let start = clock();
        let operations = work(steps);
        operations as f64 / (clock() - start).max(1e-9) * 1e-9
    };
    (0..PROBES).map(|_| round()).fold(0.0, f64::max)
}

/// Measures the peak of `threads` threads, which takes about half a second. `clock` returns seconds since a
/// fixed moment: libraries read no clock.
pub fn measure(threads: usize, clock: &(dyn Fn() -> f64 + Sync)) -> Peak {
    let (work, instructions) = choose();
    let round = || {
        let barrier = Barrier::new(threads);
        let (start, end, flops) = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let start = clock();
                        let (value, flops) = work(STEPS);
                        black_box(value);
                        (start, clock(), flops)
                    })
                })
                .collect();
            workers
                .into_iter()
                .filter_map(|w| w.join().ok())
                .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1), a.2 + b.2))
                .unwrap_or((0.0, 0.0, 0))
        });
        flops as f64 / (end - start).max(1e-9) * 1e-9
    };
    Peak { gflops: (0..ROUNDS).map(|_| round()).fold(0.0, f64::max), instructions }
}

fn choose() -> (Loop, &'static str) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: AVX-512F was just detected.
            return (|steps| unsafe { x86::avx512(steps) }, "AVX-512");
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: AVX2 and FMA were just detected.
            return (|steps| unsafe { x86::avx2(steps) }, "AVX2 and FMA");
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        (neon, "NEON")
    }
    #[cfg(not(target_arch = "aarch64"))]
    (plain, "no fused multiply-add")
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CHAINS, black_box};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(steps: usize) -> (f32, usize) {
        let mut chains: [__m512; CHAINS] = std::array::from_fn(|i| _mm512_set1_ps(i as f32));
        let (factor, addend) = (black_box(_mm512_set1_ps(0.999)), black_box(_mm512_set1_ps(1e-3)));
        for _ in 0..steps {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, factor, addend);
            }
        }
        let sum = chains.into_iter().fold(_mm512_setzero_ps(), |a, b| _mm512_add_ps(a, b));
        (_mm512_reduce_add_ps(sum), 2 * 16 * CHAINS * steps)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(steps: usize) -> (f32, usize) {
        // Four chains fewer: AVX2 has sixteen registers, and the constants need some.
        const CHAINS: usize = super::CHAINS - 4;
        let mut chains: [__m256; CHAINS] = std::array::from_fn(|i| _mm256_set1_ps(i as f32));
        let (factor, addend) = (black_box(_mm256_set1_ps(0.999)), black_box(_mm256_set1_ps(1e-3)));
        for _ in 0..steps {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, factor, addend);
            }
        }
        let sum = chains.into_iter().fold(_mm256_setzero_ps(), |a, b| _mm256_add_ps(a, b));
        (_mm_cvtss_f32(_mm256_castps256_ps128(sum)), 2 * 8 * CHAINS * steps)
    }
}

#[cfg(target_arch = "aarch64")]
fn neon(steps: usize) -> (f32, usize) {
    use std::arch::aarch64::*;
    // SAFETY: NEON is part of every aarch64 target.
    unsafe {
        let mut chains: [float32x4_t; CHAINS] = std::array::from_fn(|i| vdupq_n_f32(i as f32));
        let (factor, addend) = (black_box(vdupq_n_f32(0.999)), black_box(vdupq_n_f32(1e-3)));
        for _ in 0..steps {
            for chain in &mut chains {
                // Adds to its first argument in place.
                *chain = vfmaq_f32(*chain, factor, addend);
            }
        }
        let sum = chains.into_iter().fold(vdupq_n_f32(0.0), |a, b| vaddq_f32(a, b));
        (vaddvq_f32(sum), 2 * 4 * CHAINS * steps)
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn plain(steps: usize) -> (f32, usize) {
    let mut chains = [[0.0f32; 4]; CHAINS / 2];
    let (factor, addend) = (black_box(0.999f32), black_box(1e-3f32));
    for _ in 0..steps {
        for value in chains.as_flattened_mut() {
            *value = *value * factor + addend;
        }
    }
    (chains.as_flattened().iter().sum(), 2 * 4 * (CHAINS / 2) * steps)
}
