//! Pointwise functions and their gradients, broadcast where sizes differ.

use crate::abi::{Arg, Handle, Operator};

static MUL: Operator = Operator::new("aten::mul.Tensor(Tensor self, Tensor other) -> Tensor");
static MUL_OUT: Operator =
    Operator::new("aten::mul.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)");
static SILU: Operator = Operator::new("aten::silu(Tensor self) -> Tensor");
static SILU_BACKWARD: Operator =
    Operator::new("aten::silu_backward(Tensor grad_output, Tensor self) -> Tensor");
static GELU: Operator = Operator::new("aten::gelu(Tensor self, *, str approximate=\"none\") -> Tensor");
static GELU_BACKWARD: Operator = Operator::new(
    "aten::gelu_backward(Tensor grad_output, Tensor self, *, str approximate=\"none\") -> Tensor",
);
static GELU_BACKWARD_OUT: Operator = Operator::new(
    "aten::gelu_backward.grad_input(Tensor grad_output, Tensor self, *, str approximate=\"none\", Tensor(a!) \
     grad_input) -> Tensor(a!)",
);
static SIGMOID: Operator = Operator::new("aten::sigmoid(Tensor self) -> Tensor");
static RELU: Operator = Operator::new("aten::relu(Tensor self) -> Tensor");
static GREATER: Operator = Operator::new("aten::gt.Tensor(Tensor self, Tensor other) -> Tensor");
static EXP: Operator = Operator::new("aten::exp(Tensor self) -> Tensor");

#[cfg(test)]
pub(super) const ALL: &[&Operator] = &[
    &MUL,
    &MUL_OUT,
    &SILU,
    &SILU_BACKWARD,
    &GELU,
    &GELU_BACKWARD,
    &GELU_BACKWARD_OUT,
    &SIGMOID,
    &RELU,
    &GREATER,
    &EXP,
];

/// GELU's forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gelu {
    Exact,
    Tanh,
}

impl Gelu {
    fn name(self) -> Arg<'static> {
        Arg::Text(match self {
            Gelu::Exact => "none",
            Gelu::Tanh => "tanh",
        })
    }
}

/// Product, in the wider of the two types.
pub(crate) fn mul(a: &Handle, b: &Handle) -> Handle {
    MUL.tensor(&[a.into(), b.into()])
}

/// Writes a product into `out`, whose values other tensors may share.
pub(crate) fn mul_into(out: &Handle, a: &Handle, b: &Handle) {
    MUL_OUT.call(&[a.into(), b.into(), out.into()]);
}

/// `x sigmoid(x)`.
pub(crate) fn silu(x: &Handle) -> Handle {
    SILU.tensor(&[x.into()])
}

/// `g` times the slope of SiLU at `x`.
pub(crate) fn silu_backward(g: &Handle, x: &Handle) -> Handle {
    SILU_BACKWARD.tensor(&[g.into(), x.into()])
}

/// GELU.
pub(crate) fn gelu(x: &Handle, form: Gelu) -> Handle {
    GELU.tensor(&[x.into(), form.name()])
}

/// `g` times the slope of GELU at `x`.
pub(crate) fn gelu_backward(g: &Handle, x: &Handle, form: Gelu) -> Handle {
    GELU_BACKWARD.tensor(&[g.into(), x.into(), form.name()])
}

/// Writes `g` times the slope of GELU at `x` into `out`, whose values other tensors may share.
pub(crate) fn gelu_backward_into(out: &Handle, g: &Handle, x: &Handle, form: Gelu) {
    GELU_BACKWARD_OUT.call(&[g.into(), x.into(), form.name(), out.into()]);
}

/// The logistic function.
pub(crate) fn sigmoid(x: &Handle) -> Handle {
    SIGMOID.tensor(&[x.into()])
}

/// `max(x, 0)`.
pub(crate) fn relu(x: &Handle) -> Handle {
    RELU.tensor(&[x.into()])
}

/// True where `a` is greater than `b`.
pub(crate) fn greater(a: &Handle, b: &Handle) -> Handle {
    GREATER.tensor(&[a.into(), b.into()])
}

/// The exponential.
pub(crate) fn exp(x: &Handle) -> Handle {
    EXP.tensor(&[x.into()])
}
