//! Values selected, joined, summed and averaged.

use crate::abi::{Arg, Handle, Operator, Type};

static CAT: Operator = Operator::new("aten::cat(Tensor[] tensors, int dim=0) -> Tensor");
static INDEX_SELECT: Operator =
    Operator::new("aten::index_select(Tensor self, int dim, Tensor index) -> Tensor");
static INDEX_COPY: Operator =
    Operator::new("aten::index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor");
static SUM: Operator = Operator::new(
    "aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
);
static LOGSUMEXP: Operator =
    Operator::new("aten::logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor");
static EMBEDDING: Operator = Operator::new(
    "aten::embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool \
     sparse=False) -> Tensor",
);
static EMBEDDING_BACKWARD: Operator = Operator::new(
    "aten::embedding_dense_backward(Tensor grad_output, Tensor indices, SymInt num_weights, SymInt padding_idx, bool \
     scale_grad_by_freq) -> Tensor",
);
static AVG_POOL: Operator = Operator::new(
    "aten::avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, \
     bool count_include_pad=True, int? divisor_override=None) -> Tensor",
);
static AVG_POOL_BACKWARD: Operator = Operator::new(
    "aten::avg_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, \
     bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor",
);

#[cfg(test)]
pub(super) const ALL: &[&Operator] = &[
    &CAT,
    &INDEX_SELECT,
    &INDEX_COPY,
    &SUM,
    &LOGSUMEXP,
    &EMBEDDING,
    &EMBEDDING_BACKWARD,
    &AVG_POOL,
    &AVG_POOL_BACKWARD,
];

/// Tensors joined along a dimension.
pub(crate) fn cat(tensors: &[&Handle], dimension: usize) -> Handle {
    CAT.tensor(&[Arg::Tensors(tensors), Arg::Int(dimension as i64)])
}

/// Parts of a dimension at the given indices.
pub(crate) fn index_select(x: &Handle, dimension: usize, index: &Handle) -> Handle {
    INDEX_SELECT.tensor(&[x.into(), Arg::Int(dimension as i64), index.into()])
}

/// `x` with those of another tensor at the given indices of a dimension.
pub(crate) fn index_copy(x: &Handle, dimension: usize, index: &Handle, source: &Handle) -> Handle {
    INDEX_COPY.tensor(&[x.into(), Arg::Int(dimension as i64), index.into(), source.into()])
}

/// Sums over dimensions, computed and given in a type. `keep`: the dimensions stay with size 1.
pub(crate) fn sum(x: &Handle, dimensions: &[i64], keep: bool, kind: Type) -> Handle {
    SUM.tensor(&[x.into(), Arg::Ints(dimensions), Arg::Bool(keep), Arg::Type(kind)])
}

/// Logarithms of sums of exponentials over the last dimension.
pub(crate) fn logsumexp(x: &Handle) -> Handle {
    LOGSUMEXP.tensor(&[x.into(), Arg::Ints(&[-1]), Arg::Bool(false)])
}

/// Rows of a table.
pub(crate) fn embedding(table: &Handle, ids: &Handle) -> Handle {
    EMBEDDING.tensor(&[table.into(), ids.into(), Arg::Int(-1), Arg::Bool(false), Arg::Bool(false)])
}

/// Its gradient for a table of `rows` rows.
pub(crate) fn embedding_backward(g: &Handle, ids: &Handle, rows: i64) -> Handle {
    EMBEDDING_BACKWARD.tensor(&[g.into(), ids.into(), Arg::Int(rows), Arg::Int(-1), Arg::Bool(false)])
}

/// Means of 2x2 windows of `[N, C, H, W]`; those at an odd end are over the cells that exist.
pub(crate) fn avg_pool2(x: &Handle) -> Handle {
    AVG_POOL.tensor(&[
        x.into(),
        Arg::Ints(&[2, 2]),
        Arg::Ints(&[2, 2]),
        Arg::Ints(&[0, 0]),
        Arg::Bool(true),
        Arg::Bool(false),
        Arg::Absent,
    ])
}

/// Its gradient for an input whose sizes and order in memory `like` lends. Both must have the order of `g`.
pub(crate) fn avg_pool2_backward(g: &Handle, like: &Handle) -> Handle {
    AVG_POOL_BACKWARD.tensor(&[
        g.into(),
        like.into(),
        Arg::Ints(&[2, 2]),
        Arg::Ints(&[2, 2]),
        Arg::Ints(&[0, 0]),
        Arg::Bool(true),
        Arg::Bool(false),
        Arg::Absent,
    ])
}
