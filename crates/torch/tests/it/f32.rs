//! In f32 all theorems hold, with fused attention and with attention that is written out.

use crate::backends;
use fairhuman_engine_conformance::{Subject, Tolerances, conformance};
use fairhuman_torch::{Attention, Precision, Torch};
use std::sync::LazyLock;

static SUBJECT: LazyLock<Subject<Torch>> = LazyLock::new(|| {
    let mut instances = backends(Precision::F32);
    let written_out = |torch: Torch| torch.with_attention(Attention::WrittenOut);
    instances.extend(backends(Precision::F32).into_iter().map(written_out));
    Subject::new(instances, Tolerances::F32, false)
});

fn subject() -> &'static Subject<Torch> {
    &SUBJECT
}

conformance!(crate::f32::subject);
