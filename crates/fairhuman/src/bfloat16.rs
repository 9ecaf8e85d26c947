//! Whether this processor multiplies bfloat16 so much faster than f32 that `precision = "bf16"` uses it on
//! the CPU: measured, because processors that have instructions for it may be slower with them.

use std::sync::OnceLock;

use fairhuman_engine::peak::{Rates, probe};

use crate::clock;

/// The rates of a core, measured once.
fn rates() -> Rates {
    static RATES: OnceLock<Rates> = OnceLock::new();
    *RATES.get_or_init(|| probe(&clock::start()))
}

/// True if products in bfloat16 pay.
pub fn gains() -> bool {
    rates().gains()
}

/// The instructions that products in bfloat16 use; none where they do not pay.
pub fn used() -> Option<&'static str> {
    rates().bf16.filter(|_| gains()).map(|bf16| bf16.instructions)
}

/// The finding and what follows from it, in a line.
pub fn description() -> String {
    let rates = rates();
    let Some(bf16) = rates.bf16 else {
        return "bfloat16: this processor has no instructions for it; the CPU computes in f32".to_owned();
    };
    let follows = match rates.gains() {
        true => "precision = \"bf16\" uses it on the CPU",
        false => "too little to gain, the CPU computes in f32",
    };
    format!(
        "bfloat16: {:.0} GFLOP/s a core by {}, {:.1} times f32's {:.0}; {follows}",
        bf16.gflops,
        bf16.instructions,
        rates.gain(),
        rates.f32.gflops
    )
}
