//! Convolutions. Images are `[N, C, H, W]` views of channels-last memory, and filters `[O, I, kh, kw]`
//! likewise.

use crate::abi::{Arg, Handle, Operator};

static CONVOLUTION: Operator = Operator::new(
    "aten::convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] \
     dilation, bool transposed, SymInt[] output_padding, SymInt groups) -> Tensor",
);
static CONVOLUTION_BACKWARD: Operator = Operator::new(
    "aten::convolution_backward(Tensor grad_output, Tensor input, Tensor weight, SymInt[]? bias_sizes, SymInt[] \
     stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool[3] \
     output_mask) -> (Tensor, Tensor, Tensor)",
);
static PAD: Operator =
    Operator::new("aten::pad(Tensor self, SymInt[] pad, str mode=\"constant\", float? value=None) -> Tensor");

#[cfg(test)]
pub(super) const ALL: &[&Operator] = &[&CONVOLUTION, &CONVOLUTION_BACKWARD, &PAD];

/// A convolution with the same zeros at both ends of a direction.
pub(crate) fn convolution(
    x: &Handle,
    filter: &Handle,
    bias: Option<&Handle>,
    stride: i64,
    pad: [i64; 2],
) -> Handle {
    CONVOLUTION.tensor(&[
        x.into(),
        filter.into(),
        bias.into(),
        Arg::Ints(&[stride, stride]),
        Arg::Ints(&pad),
        Arg::Ints(&[1, 1]),
        Arg::Bool(false),
        Arg::Ints(&[0, 0]),
        Arg::Int(1),
    ])
}

/// Its gradient for an input whose last `extra` rows and columns no output but a whole step reaches: a
/// transposed convolution. (`convolution_backward` would want the input, whose values have no part in this.)
pub(crate) fn convolution_transposed(
    g: &Handle,
    filter: &Handle,
    stride: i64,
    pad: [i64; 2],
    extra: [i64; 2],
) -> Handle {
    CONVOLUTION.tensor(&[
        g.into(),
        filter.into(),
        Arg::Absent,
        Arg::Ints(&[stride, stride]),
        Arg::Ints(&pad),
        Arg::Ints(&[1, 1]),
        Arg::Bool(true),
        Arg::Ints(&extra),
        Arg::Int(1),
    ])
}

/// Its gradient for the filter, whose sizes `filter` lends.
pub(crate) fn filter_gradient(g: &Handle, x: &Handle, filter: &Handle, stride: i64, pad: [i64; 2]) -> Handle {
    let [_, gradient, _] = CONVOLUTION_BACKWARD.tensors(&[
        g.into(),
        x.into(),
        filter.into(),
        Arg::Absent,
        Arg::Ints(&[stride, stride]),
        Arg::Ints(&pad),
        Arg::Ints(&[1, 1]),
        Arg::Bool(false),
        Arg::Ints(&[0, 0]),
        Arg::Int(1),
        Arg::Bools(&[false, true, false]),
    ]);
    gradient
}

/// Zeros, or another value, around the last dimensions: `[before, after]` of the last, then of the one before
/// it.
pub(crate) fn pad(x: &Handle, widths: &[i64], value: f64) -> Handle {
    PAD.tensor(&[x.into(), Arg::Ints(widths), Arg::Text("constant"), Arg::Float(value)])
}
