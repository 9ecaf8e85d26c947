//! Statistics and layer normalisation.

use crate::abi::{Arg, Handle, Operator};

static VAR_MEAN: Operator = Operator::new(
    "aten::var_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)",
);
static RSQRT: Operator = Operator::new("aten::rsqrt(Tensor self) -> Tensor");
static LAYER_NORM: Operator = Operator::new(
    "aten::native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps) -> \
     (Tensor, Tensor, Tensor)",
);
static LAYER_NORM_BACKWARD: Operator = Operator::new(
    "aten::native_layer_norm_backward(Tensor grad_out, Tensor input, SymInt[] normalized_shape, Tensor mean, Tensor \
     rstd, Tensor? weight, Tensor? bias, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
);

#[cfg(test)]
pub(super) const ALL: &[&Operator] = &[&VAR_MEAN, &RSQRT, &LAYER_NORM, &LAYER_NORM_BACKWARD];

/// Variance (of all values, not of a sample of them) and mean over dimensions, which stay with size 1.
pub(crate) fn var_mean(x: &Handle, dimensions: &[i64]) -> (Handle, Handle) {
    let arguments = [x.into(), Arg::Ints(dimensions), Arg::Bool(false), Arg::Bool(true)];
    let [variance, mean] = VAR_MEAN.tensors(&arguments);
    (variance, mean)
}

/// `1 / sqrt(x)`.
pub(crate) fn rsqrt(x: &Handle) -> Handle {
    RSQRT.tensor(&[x.into()])
}

/// Layer normalisation of the rows of a matrix: result, means, reciprocal standard deviations.
pub(crate) fn layer_norm(x: &Handle, gamma: &Handle, beta: &Handle, eps: f64) -> [Handle; 3] {
    LAYER_NORM.tensors(&[x.into(), Arg::Ints(&[x.last()]), gamma.into(), beta.into(), Arg::Float(eps)])
}

/// Its gradient for `x`. libtorch reads the statistics by raw pointer: they must be dense.
pub(crate) fn layer_norm_backward(
    g: &Handle,
    x: &Handle,
    (mean, rstd): (&Handle, &Handle),
    (gamma, beta): (&Handle, &Handle),
) -> Handle {
    assert!(mean.is_dense() && rstd.is_dense(), "statistics with gaps");
    let [gradient, _, _] = LAYER_NORM_BACKWARD.tensors(&[
        g.into(),
        x.into(),
        Arg::Ints(&[x.last()]),
        mean.into(),
        rstd.into(),
        gamma.into(),
        beta.into(),
        Arg::Bools(&[true, false, false]),
    ]);
    gradient
}
