//! Hook for profilers: the tape tells an observer about every operation. The engine itself reads no clock.

/// Direction of the pass that ran an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Forward.
    Forward,
    /// Forward again, in a checkpointed segment, within the backward pass.
    Recompute,
    /// Vector-Jacobian products.
    Backward,
}

/// An operation's name and cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Op {
    /// Name for a table.
    pub name: &'static str,
    /// Floating-point operations of its matrix products (multiply and add count as two).
    pub flops: f64,
    /// f32 values read or written, for operations bound by memory.
    pub values: f64,
}

impl Op {
    /// An operation made of matrix products.
    pub fn product(name: &'static str, flops: f64) -> Self {
        Self { name, flops, values: 0.0 }
    }

    /// An operation bound by memory.
    pub fn memory(name: &'static str, values: usize) -> Self {
        Self { name, flops: 0.0, values: values as f64 }
    }
}

/// Told about every operation of a tape; calls never nest.
pub trait Observer: Sync {
    /// An operation starts.
    fn begin(&self);
    /// It has ended.
    fn end(&self, phase: Phase, op: Op);
}
