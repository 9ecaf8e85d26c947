//! The innermost loop of products in bfloat16: a block of C, of at most 32 x 32 values.
//!
//! ```text
//!          two panels of B: a line holds 16 columns' pairs of k     C block: 2 groups x 2 panels; of AMX one
//!          ┌────┬────┐                                              tile each, of AVX-512 8 rows at a time.
//!          │ b0 │ b1 │                                              A: a line holds 32 values of k of a row.
//! A[16,k]  └────┴────┘
//! ```
//! Both kinds of instructions want pairs of k side by side, so they share layouts. Operands are rounded,
//! their products exact, and sums f32 in an order that depends on the depth alone.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod portable;

#[cfg(target_arch = "x86_64")]
use crate::cpu::features;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(in crate::cpu) use amx::available as has_amx;
pub(in crate::cpu) use block::{Block, BlockFn, GROUP, Line, SIDE, STEP, Sums};
use std::sync::OnceLock;

/// A block function, and what a thread does before and after it calls it.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Kernel {
    pub block: BlockFn,
    session: Option<Preparation>,
}

/// The work of a thread before its first block and after its last.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    allow(dead_code, reason = "only AMX has something to prepare")
)]
struct Preparation {
    begin: unsafe fn(),
    end: unsafe fn(),
}

/// A loop of so many steps; the number of operations in it.
pub(crate) type RateLoop = fn(usize) -> usize;

impl Kernel {
    const PORTABLE: Self = Self { block: portable::block, session: None };

    /// Prepares this thread for [`Kernel::block`]. Sessions do not nest.
    pub fn session(&self) -> Session {
        if let Some(Preparation { begin, .. }) = self.session {
            // SAFETY: kernels with sessions are chosen where the machine has their instructions.
            unsafe { begin() }
        }
        Session { end: self.session.map(|session| session.end) }
    }
}

/// The time in which a thread calls a kernel.
pub(in crate::cpu) struct Session {
    end: Option<unsafe fn()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            // SAFETY: the machine has the instructions with which the session began.
            unsafe { end() }
        }
    }
}

/// The kernel for this machine, chosen once.
pub(in crate::cpu) fn kernel() -> Kernel {
    static CHOICE: OnceLock<Kernel> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if features::amx() {
            return Kernel {
                block: amx::block,
                session: Some(Preparation { begin: amx::begin, end: amx::end }),
            };
        }
        #[cfg(target_arch = "x86_64")]
        if features::avx512_bf16() {
            return Kernel { block: avx512::block, session: None };
        }
        Kernel::PORTABLE
    })
}

/// A loop of products in registers, for measuring their rate, by the best instructions for bfloat16 that may
/// be used, and the name of these.
pub(crate) fn rate() -> Option<(&'static str, RateLoop)> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if features::amx() {
        return Some(("AMX", amx::rate));
    }
    #[cfg(target_arch = "x86_64")]
    if features::avx512_bf16() {
        // SAFETY: AVX512-BF16 was just detected.
        return Some(("AVX512-BF16", |steps| unsafe { avx512::rate(steps) }));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of values between -1 and 1.
    fn lines(seed: u32, count: usize) -> Vec<Line> {
        let mut state = seed;
        let mut value = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            half::bf16::from_f32((state >> 8) as f32 / (1 << 23) as f32 - 1.0).to_bits()
        };
        (0..count).map(|_| Line(std::array::from_fn(|_| value()))).collect()
    }

    /// All kernels that this machine has.
    fn kernels() -> Vec<(&'static str, Kernel)> {
        let mut kernels = vec![("portable", Kernel::PORTABLE)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512bf16") {
            kernels.push(("AVX512-BF16", Kernel { block: avx512::block, session: None }));
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if amx::available() {
            let session = Some(Preparation { begin: amx::begin, end: amx::end });
            kernels.push(("AMX", Kernel { block: amx::block, session }));
        }
        kernels
    }

    #[test]
    fn every_kernel_sums_what_f64_sums() {
        let wide = |value: u16| f64::from(half::bf16::from_bits(value).to_f32());
        for steps in [0, 1, 2, 7] {
            let a_row = steps + 2;
            let (a, b) = (lines(1, 2 * GROUP * a_row), lines(2, 2 * GROUP * steps + 1));
            for (name, kernel) in kernels() {
                for case in 0..8 {
                    let (groups, panels, accumulate) = (1 + case % 2, 1 + case / 2 % 2, case > 3);
                    let mut sums = Sums([[0.5; SIDE]; SIDE]);
                    let work = Block {
                        a: [&raw const a[0], &raw const a[GROUP * a_row]],
                        a_row,
                        groups,
                        b: &raw const b[0],
                        b_next: GROUP * steps,
                        panels,
                        steps,
                        sums: &mut sums,
                        accumulate,
                    };
                    let session = kernel.session();
                    // SAFETY: A has two groups of rows, B two panels; the session is this thread's.
                    unsafe { (kernel.block)(&work) }
                    drop(session);
                    for i in 0..GROUP * groups {
                        for j in 0..GROUP * panels {
                            let mut expected = if accumulate { 0.5 } else { 0.0 };
                            for k in 0..STEP * steps {
                                let line = j / GROUP * GROUP * steps + k / 2;
                                let b = b[line].0[2 * (j % GROUP) + k % 2];
                                expected += wide(a[i * a_row + k / STEP].0[k % STEP]) * wide(b);
                            }
                            let error = (f64::from(sums.0[i][j]) - expected).abs();
                            assert!(error < 1e-5, "{name}, case {case}, {steps} steps, {i} {j}: {error}");
                        }
                    }
                }
            }
        }
    }
}
