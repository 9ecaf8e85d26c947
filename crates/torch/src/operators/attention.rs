//! Scaled dot-product attention of `[N, heads, T, D]` views. Each kernel gives its result and the logarithms
//! of the softmax denominators, `[N, heads, T]`, and wants them back dense: they are read by raw pointer.

use crate::abi::{Arg, Handle, Operator, Type};
use crate::operators::pad;

static CPU: Operator = Operator::new(
    "aten::_scaled_dot_product_flash_attention_for_cpu(Tensor query, Tensor key, Tensor value, float dropout_p=0., \
     bool is_causal=False, *, Tensor? attn_mask=None, float? scale=None) -> (Tensor output, Tensor logsumexp)",
);
static CPU_BACKWARD: Operator = Operator::new(
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward(Tensor grad_out, Tensor query, Tensor key, Tensor \
     value, Tensor out, Tensor logsumexp, float dropout_p, bool is_causal, *, Tensor? attn_mask=None, float? \
     scale=None) -> (Tensor grad_query, Tensor grad_key, Tensor grad_value)",
);
static FLASH: Operator = Operator::new(
    "aten::_scaled_dot_product_flash_attention(Tensor query, Tensor key, Tensor value, float dropout_p=0., bool \
     is_causal=False, bool return_debug_mask=False, *, float? scale=None) -> (Tensor output, Tensor logsumexp, Tensor \
     cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, Tensor rng_state, Tensor unused, Tensor \
     debug_attn_mask)",
);
static FLASH_BACKWARD: Operator = Operator::new(
    "aten::_scaled_dot_product_flash_attention_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, \
     Tensor out, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, \
     bool is_causal, Tensor philox_seed, Tensor philox_offset, *, float? scale=None) -> (Tensor grad_query, Tensor \
     grad_key, Tensor grad_value)",
);
static EFFICIENT: Operator = Operator::new(
    "aten::_scaled_dot_product_efficient_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_bias, bool \
     compute_log_sumexp, float dropout_p=0., bool is_causal=False, *, float? scale=None) -> (Tensor output, Tensor \
     log_sumexp, Tensor philox_seed, Tensor philox_offset)",
);
static EFFICIENT_BACKWARD: Operator = Operator::new(
    "aten::_scaled_dot_product_efficient_attention_backward(Tensor grad_out_, Tensor query, Tensor key, Tensor value, \
     Tensor attn_bias, Tensor out, Tensor logsumexp, Tensor philox_seed, Tensor philox_offset, float dropout_p, \
     bool[4] grad_input_mask, bool is_causal=False, *, float? scale=None) -> (Tensor, Tensor, Tensor, Tensor)",
);

#[cfg(test)]
pub(super) const ALL: &[&Operator] =
    &[&CPU, &CPU_BACKWARD, &FLASH, &FLASH_BACKWARD, &EFFICIENT, &EFFICIENT_BACKWARD];

/// Rows of log-denominators that the efficient kernel pads to.
const EFFICIENT_ROWS: i64 = 32;

/// Values that attention kept: queries, keys, values, result, log-denominators.
pub(crate) struct Kept<'a> {
    pub q: &'a Handle,
    pub k: &'a Handle,
    pub v: &'a Handle,
    pub out: &'a Handle,
    pub log_sum: &'a Handle,
}

/// On the CPU, in f32 or bf16.
pub(crate) fn attention_cpu(q: &Handle, k: &Handle, v: &Handle, causal: bool) -> [Handle; 2] {
    CPU.tensors(&[q.into(), k.into(), v.into(), Arg::Float(0.0), Arg::Bool(causal), Arg::Absent, Arg::Absent])
}

/// Gradients for queries, keys and values of [`attention_cpu`].
pub(crate) fn attention_cpu_backward(g: &Handle, kept: &Kept<'_>, causal: bool) -> [Handle; 3] {
    assert!(kept.log_sum.is_dense(), "log-denominators with gaps");
    CPU_BACKWARD.tensors(&[
        g.into(),
        kept.q.into(),
        kept.k.into(),
        kept.v.into(),
        kept.out.into(),
        kept.log_sum.into(),
        Arg::Float(0.0),
        Arg::Bool(causal),
        Arg::Absent,
        Arg::Absent,
    ])
}

/// FlashAttention on CUDA: 16 bits, heads of at most 256 channels, a multiple of 8.
pub(crate) fn attention_flash(q: &Handle, k: &Handle, v: &Handle, causal: bool) -> [Handle; 2] {
    FLASH.tensors(&[
        q.into(),
        k.into(),
        v.into(),
        Arg::Float(0.0),
        Arg::Bool(causal),
        Arg::Bool(false),
        Arg::Absent,
    ])
}

/// Gradients for queries, keys and values of [`attention_flash`].
pub(crate) fn attention_flash_backward(g: &Handle, kept: &Kept<'_>, causal: bool) -> [Handle; 3] {
    assert!(kept.log_sum.is_dense(), "log-denominators with gaps");
    // Sequences of one length, and no dropout, whose seed is not read.
    let (none, seed) = (Handle::undefined(), no_seed(g));
    FLASH_BACKWARD.tensors(&[
        g.into(),
        kept.q.into(),
        kept.k.into(),
        kept.v.into(),
        kept.out.into(),
        kept.log_sum.into(),
        (&none).into(),
        (&none).into(),
        Arg::Int(kept.q.sizes()[2]),
        Arg::Int(kept.k.sizes()[2]),
        Arg::Float(0.0),
        Arg::Bool(causal),
        (&seed).into(),
        (&seed).into(),
        Arg::Absent,
    ])
}

/// Memory-efficient attention on CUDA: any type, heads of any multiple of 4 channels (of 8 in 16 bits).
pub(crate) fn attention_efficient(q: &Handle, k: &Handle, v: &Handle, causal: bool) -> [Handle; 2] {
    let [out, log_sum] = EFFICIENT.tensors(&[
        q.into(),
        k.into(),
        v.into(),
        Arg::Absent,
        Arg::Bool(true),
        Arg::Float(0.0),
        Arg::Bool(causal),
        Arg::Absent,
    ]);
    [out, log_sum.narrow(2, 0, q.sizes()[2])]
}

/// Gradients for queries, keys and values of [`attention_efficient`].
pub(crate) fn attention_efficient_backward(g: &Handle, kept: &Kept<'_>, causal: bool) -> [Handle; 3] {
    let (none, seed) = (Handle::undefined(), no_seed(g));
    let beyond = kept.q.sizes()[2] % EFFICIENT_ROWS;
    let missing = if beyond == 0 { 0 } else { EFFICIENT_ROWS - beyond };
    // Rows beyond the last query count as those without any key.
    let log_sum = pad(kept.log_sum, &[0, missing], f64::INFINITY);
    EFFICIENT_BACKWARD.tensors(&[
        g.into(),
        kept.q.into(),
        kept.k.into(),
        kept.v.into(),
        (&none).into(),
        kept.out.into(),
        (&log_sum).into(),
        (&seed).into(),
        (&seed).into(),
        Arg::Float(0.0),
        Arg::Bools(&[true, true, true, false]),
        Arg::Bool(causal),
        Arg::Absent,
    ])
}

/// The seed of no dropout.
fn no_seed(like: &Handle) -> Handle {
    let seed = Handle::from_slice(&[1], &[0_i64], like.device());
    let seed = seed.unwrap_or_else(|| crate::backend::out_of_memory(size_of::<i64>()));
    debug_assert_eq!(seed.kind(), Type::I64);
    seed.strided(&[], &[], 0)
}
