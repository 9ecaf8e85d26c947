//! AdamW (Loshchilov & Hutter 2019) in PyTorch's form: what [`Backend::adamw`] is given.

use crate::Backend;

/// Constants of one AdamW step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// First moment's decay.
    pub beta1: f64,
    /// Second moment's decay.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Number of this step, from 1.
    pub step: u64,
}

/// One parameter with its moments, which the step changes, and its gradient; all of one shape.
pub struct AdamWState<'a, B: Backend> {
    /// The parameter.
    pub param: &'a mut B::Tensor,
    /// First moment.
    pub first: &'a mut B::Tensor,
    /// Second moment.
    pub second: &'a mut B::Tensor,
    /// Gradient of this step.
    pub grad: &'a B::Tensor,
}
