//! Values moved and converted.

use crate::abi::{Arg, Handle, Operator, Type};

static TO_COPY: Operator = Operator::new(
    "aten::_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? \
     pin_memory=None, bool non_blocking=False, MemoryFormat? memory_format=None) -> Tensor",
);
static CONTIGUOUS: Operator =
    Operator::new("aten::contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)");
static CLONE: Operator =
    Operator::new("aten::clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor");

#[cfg(test)]
pub(super) const ALL: &[&Operator] = &[&TO_COPY, &CONTIGUOUS, &CLONE];

/// The values in another type, on their device.
pub(crate) fn to_type(x: &Handle, kind: Type) -> Handle {
    if x.kind() == kind {
        return x.clone();
    }
    TO_COPY.tensor(&[
        x.into(),
        Arg::Type(kind),
        Arg::Absent,
        Arg::Absent,
        Arg::Absent,
        Arg::Bool(false),
        Arg::Absent,
    ])
}

/// The values row-major and without gaps; a copy, unless they are so already.
pub(crate) fn contiguous(x: &Handle) -> Handle {
    CONTIGUOUS.tensor(&[x.into(), Arg::RowMajor])
}

/// A row-major copy.
pub(crate) fn clone(x: &Handle) -> Handle {
    CLONE.tensor(&[x.into(), Arg::RowMajor])
}
