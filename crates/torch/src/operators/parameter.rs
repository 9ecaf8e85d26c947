//! Updates of many parameters at once, in place.

use crate::abi::{Arg, Handle, Operator, Value};
use fairhuman_engine::AdamW;

static FOREACH_MUL: Operator =
    Operator::new("aten::_foreach_mul.Tensor(Tensor[] self, Tensor other) -> Tensor[]");
static LERP: Operator =
    Operator::new("aten::lerp_.Tensor(Tensor(a!) self, Tensor end, Tensor weight) -> Tensor(a!)");
static FUSED_ADAMW: Operator = Operator::new(
    "aten::_fused_adamw_(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, \
     Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float weight_decay, \
     float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
);

#[cfg(test)]
pub(super) const ALL: &[&Operator] = &[&FOREACH_MUL, &LERP, &FUSED_ADAMW];

/// Every tensor times a number, which is a tensor of no dimensions.
pub(crate) fn foreach_mul(tensors: &[&Handle], factor: &Handle) -> Vec<Handle> {
    match FOREACH_MUL.call(&[Arg::Tensors(tensors), factor.into()]).into_iter().next() {
        Some(Value::Tensors(list)) => list,
        _ => unreachable!("a list of tensors"),
    }
}

/// Moves the values of `x`, which other tensors may share, by `weight` (a tensor of no dimensions) of the way
/// to `end`.
pub(crate) fn lerp_in_place(x: &Handle, end: &Handle, weight: &Handle) {
    LERP.call(&[x.into(), end.into(), weight.into()]);
}

/// Parameters with gradients, first and second moments, number for number.
#[derive(Default)]
pub(crate) struct Updates<'a> {
    pub params: Vec<&'a Handle>,
    pub grads: Vec<&'a Handle>,
    pub first: Vec<&'a Handle>,
    pub second: Vec<&'a Handle>,
}

/// One step of AdamW, which overwrites parameters and moments, whose values other tensors may share. `step`:
/// its number, from 1, in f32 on the device.
pub(crate) fn fused_adamw(updates: &Updates<'_>, step: &Handle, constants: &AdamW) {
    let steps = vec![step; updates.params.len()];
    FUSED_ADAMW.call(&[
        Arg::Tensors(&updates.params),
        Arg::Tensors(&updates.grads),
        Arg::Tensors(&updates.first),
        Arg::Tensors(&updates.second),
        Arg::Tensors(&[]),
        Arg::Tensors(&steps),
        Arg::Float(constants.lr),
        Arg::Float(constants.beta1),
        Arg::Float(constants.beta2),
        Arg::Float(constants.weight_decay),
        Arg::Float(constants.eps),
        Arg::Bool(false),
        Arg::Bool(false),
        Arg::Absent,
        Arg::Absent,
    ]);
}
