//! Matrix products.

use crate::Device;
use crate::abi::{Arg, Handle, Operator, Type};
use crate::operators::to_type;

static LINEAR: Operator =
    Operator::new("aten::linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor");
static MM: Operator = Operator::new("aten::mm(Tensor self, Tensor mat2) -> Tensor");
static MM_DTYPE: Operator =
    Operator::new("aten::mm.dtype(Tensor self, Tensor mat2, ScalarType out_dtype) -> Tensor");
static BMM: Operator = Operator::new("aten::bmm(Tensor self, Tensor mat2) -> Tensor");
static BMM_DTYPE: Operator =
    Operator::new("aten::bmm.dtype(Tensor self, Tensor mat2, ScalarType out_dtype) -> Tensor");

#[cfg(test)]
pub(super) const ALL: &[&Operator] = &[&LINEAR, &MM, &MM_DTYPE, &BMM, &BMM_DTYPE];

/// `x W^T + bias` over the last dimension.
pub(crate) fn linear(x: &Handle, weight: &Handle, bias: Option<&Handle>) -> Handle {
    LINEAR.tensor(&[x.into(), weight.into(), bias.into()])
}

/// Product of two matrices of one type.
pub(crate) fn mm(a: &Handle, b: &Handle) -> Handle {
    MM.tensor(&[a.into(), b.into()])
}

/// Products of two stacks of matrices of one type.
pub(crate) fn bmm(a: &Handle, b: &Handle) -> Handle {
    BMM.tensor(&[a.into(), b.into()])
}

/// Product of two matrices in f32, whatever their type. The CPU has no kernel that widens, so there it is
/// done first.
pub(crate) fn mm_f32(a: &Handle, b: &Handle) -> Handle {
    match (a.kind(), a.device()) {
        (Type::F32, _) => mm(a, b),
        (_, Device::Cpu) => mm(&to_type(a, Type::F32), &to_type(b, Type::F32)),
        _ => mm_dtype(a, b),
    }
}

/// Products of two stacks of matrices in f32, whatever their type; see [`mm_f32`].
pub(crate) fn bmm_f32(a: &Handle, b: &Handle) -> Handle {
    match (a.kind(), a.device()) {
        (Type::F32, _) => bmm(a, b),
        (_, Device::Cpu) => bmm(&to_type(a, Type::F32), &to_type(b, Type::F32)),
        _ => bmm_dtype(a, b),
    }
}

/// Product of two 16-bit matrices, written in f32. CUDA only.
pub(crate) fn mm_dtype(a: &Handle, b: &Handle) -> Handle {
    MM_DTYPE.tensor(&[a.into(), b.into(), Arg::Type(Type::F32)])
}

/// Products of two stacks of 16-bit matrices, written in f32. CUDA only.
pub(crate) fn bmm_dtype(a: &Handle, b: &Handle) -> Handle {
    BMM_DTYPE.tensor(&[a.into(), b.into(), Arg::Type(Type::F32)])
}
