//! With activations in bf16 and everything trained in f32: all theorems but those of central differences,
//! which need more digits.

use crate::backends;
use fairhuman_engine_conformance::{Subject, Tolerances};
use fairhuman_torch::{Attention, Precision, Torch};
use std::sync::LazyLock;

static SUBJECT: LazyLock<Subject<Torch>> = LazyLock::new(|| {
    let mut instances = backends(Precision::Bf16);
    let written_out = |torch: Torch| torch.with_attention(Attention::WrittenOut);
    instances.extend(backends(Precision::Bf16).into_iter().map(written_out));
    let rounded = |value| half::bf16::from_f32(value).to_f32();
    Subject::new(instances, Tolerances::BF16, false).with_inputs(rounded)
});

fn subject() -> &'static Subject<Torch> {
    &SUBJECT
}

fairhuman_engine_conformance::agreement!(crate::bf16::subject);
fairhuman_engine_conformance::passes!(crate::bf16::subject);
