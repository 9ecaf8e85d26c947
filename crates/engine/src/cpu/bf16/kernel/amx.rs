//! The block by AMX: `tdpbf16ps` multiplies a tile of 16 rows and 32 values of k with one of as many k and 16
//! columns. Four of the eight tile registers hold sums.
//!
//! The compiler's functions for these instructions are not stable, so they are written in assembly. The
//! kernel gives a process the registers when it asks for them, and a thread is told once per [`Session`] how
//! large its tiles are; outside of sessions they are released, so that threads are switched as fast as ever.

use super::block::{Block, SIDE};
use std::arch::asm;
use std::sync::OnceLock;

/// Bytes from row to row of the sums.
const SUMS_ROW: usize = 4 * SIDE;

/// The block that `ldtilecfg` reads (Intel's manual, volume 1, section 18.2).
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// All eight tiles of the largest size.
static TILES: Configuration = Configuration {
    palette: 1,
    start: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// True if the processor has AMX for bfloat16 and the system lets this process use it.
pub(in crate::cpu) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_permitted())
}

fn has_instructions() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    // Bits 22 and 24 of EDX: AMX-BF16 and AMX-TILE.
    const BITS: u32 = 1 << 22 | 1 << 24;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & BITS == BITS
}

/// Asks Linux for the tile registers (`arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`, since 5.16), for
/// all threads of this process.
fn is_permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: this call of the system changes no memory of the process; an unknown request is an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Tells this thread's tiles their sizes.
///
/// # Safety
/// [`available`] must be true.
pub(super) unsafe fn begin() {
    // SAFETY: the instruction reads the 64 bytes of the configuration.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const TILES, options(nostack, preserves_flags, readonly)) }
}

/// Releases this thread's tiles.
///
/// # Safety
/// [`available`] must be true.
pub(super) unsafe fn end() {
    // SAFETY: the instruction changes the tiles alone, which no other code uses.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
}

/// Assembly of a block: sums that begin as zeros or are loaded, the loop over steps, and the store.
macro_rules! block {
    ($t:expr, $($zero:literal)+; $($load:literal)+; $($step:literal)+; $($store:literal)+) => {
        asm!(
            "test {accumulate:e}, {accumulate:e}",
            "jnz 2f",
            $($zero,)+
            "jmp 3f",
            "2:",
            $($load,)+
            "3:",
            "test {steps}, {steps}",
            "jz 5f",
            "4:",
            $($step,)+
            "add {a0}, 64",
            "add {a1}, 64",
            "add {b0}, 1024",
            "add {b1}, 1024",
            "dec {steps}",
            "jnz 4b",
            "5:",
            $($store,)+
            accumulate = in(reg) u32::from($t.accumulate),
            steps = inout(reg) $t.steps => _,
            a0 = inout(reg) $t.a[0] => _,
            a1 = inout(reg) $t.a[1] => _,
            a_row = in(reg) 64 * $t.a_row,
            b0 = inout(reg) $t.b => _,
            b1 = inout(reg) $t.b.wrapping_add($t.b_next) => _,
            line = in(reg) 64_usize,
            c = in(reg) $t.sums,
            c_row = in(reg) SUMS_ROW,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// Computes a block.
///
/// # Safety
/// As for [`super::BlockFn`].
pub(super) unsafe fn block(t: &Block) {
    // SAFETY: the tiles that are read and written are those of the block's groups and panels, for which the
    // caller vouches; it has begun a session.
    unsafe {
        match (t.groups, t.panels) {
            (1, 1) => block!(t,
                "tilezero tmm0";
                "tileloadd tmm0, [{c} + {c_row}]";
                "tileloadd tmm4, [{a0} + {a_row}]"
                "tileloadd tmm6, [{b0} + {line}]"
                "tdpbf16ps tmm0, tmm4, tmm6";
                "tilestored [{c} + {c_row}], tmm0"),
            (1, _) => block!(t,
                "tilezero tmm0"
                "tilezero tmm1";
                "tileloadd tmm0, [{c} + {c_row}]"
                "tileloadd tmm1, [{c} + {c_row} + 64]";
                "tileloadd tmm4, [{a0} + {a_row}]"
                "tileloadd tmm6, [{b0} + {line}]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tileloadd tmm7, [{b1} + {line}]"
                "tdpbf16ps tmm1, tmm4, tmm7";
                "tilestored [{c} + {c_row}], tmm0"
                "tilestored [{c} + {c_row} + 64], tmm1"),
            (_, 1) => block!(t,
                "tilezero tmm0"
                "tilezero tmm2";
                "tileloadd tmm0, [{c} + {c_row}]"
                "tileloadd tmm2, [{c} + {c_row} + 2048]";
                "tileloadd tmm6, [{b0} + {line}]"
                "tileloadd tmm4, [{a0} + {a_row}]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tileloadd tmm5, [{a1} + {a_row}]"
                "tdpbf16ps tmm2, tmm5, tmm6";
                "tilestored [{c} + {c_row}], tmm0"
                "tilestored [{c} + {c_row} + 2048], tmm2"),
            _ => block!(t,
                "tilezero tmm0"
                "tilezero tmm1"
                "tilezero tmm2"
                "tilezero tmm3";
                "tileloadd tmm0, [{c} + {c_row}]"
                "tileloadd tmm1, [{c} + {c_row} + 64]"
                "tileloadd tmm2, [{c} + {c_row} + 2048]"
                "tileloadd tmm3, [{c} + {c_row} + 2112]";
                "tileloadd tmm6, [{b0} + {line}]"
                "tileloadd tmm4, [{a0} + {a_row}]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tileloadd tmm7, [{b1} + {line}]"
                "tdpbf16ps tmm1, tmm4, tmm7"
                "tileloadd tmm5, [{a1} + {a_row}]"
                "tdpbf16ps tmm2, tmm5, tmm6"
                "tdpbf16ps tmm3, tmm5, tmm7";
                "tilestored [{c} + {c_row}], tmm0"
                "tilestored [{c} + {c_row} + 64], tmm1"
                "tilestored [{c} + {c_row} + 2048], tmm2"
                "tilestored [{c} + {c_row} + 2112], tmm3"),
        }
    }
}

/// A loop of `steps` products of tiles, for measuring their rate; the number of operations in it.
pub(super) fn rate(steps: usize) -> usize {
    // SAFETY: as there; the tiles hold zeros, and no memory is touched.
    unsafe {
        begin();
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {steps}",
            "jnz 2b",
            steps = inout(reg) steps.max(1) => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, nomem),
        );
        end();
    }
    steps.max(1) * 4 * 2 * 16 * 16 * 32
}
