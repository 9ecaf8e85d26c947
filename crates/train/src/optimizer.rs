//! AdamW over all parameters, moments in f32: PyTorch's form.

use fairhuman_engine::{AdamW, AdamWState, Backend, Param, ParamId, Params};

use crate::group::ShardedGroup;
use crate::recipe::Optimizer;

/// AdamW's state. A process of a group has the moments of the parameters that it owns.
pub struct Moments<B: Backend> {
    /// Updates made so far. Refused steps are none.
    pub updates: u64,
    /// First moments, in the order of the parameters.
    pub first: Vec<Option<B::Tensor>>,
    /// Second moments.
    pub second: Vec<Option<B::Tensor>>,
}

impl<B: Backend> Moments<B> {
    /// The state before the first update: zeros, for the parameters that `processes` says are owned.
    pub fn new(backend: &B, params: &Params<B>, processes: &ShardedGroup<'_, B>) -> Self {
        let zero = |(id, param): (ParamId, &Param<B>)| {
            processes.owns(id).then(|| backend.zeros(B::shape(&param.value)))
        };
        let zeros = || params.ids().zip(params.iter()).map(zero).collect();
        Self { updates: 0, first: zeros(), second: zeros() }
    }

    /// The state after some updates, without moments.
    pub fn empty(parameters: usize, updates: u64) -> Self {
        Self { updates, first: vec![None; parameters], second: vec![None; parameters] }
    }
}

/// One update with the gradient `grads * factor`. A parameter without a gradient stays as it is. If it runs
/// out of memory (see [`Backend::attempt`]), nothing has changed.
pub fn update<B: Backend>(
    backend: &B,
    params: &mut Params<B>,
    moments: &mut Moments<B>,
    grads: &[Option<B::Tensor>],
    factor: f64,
    optimizer: &Optimizer,
    learning_rate: f64,
) {
    let constants = AdamW {
        lr: learning_rate,
        beta1: optimizer.beta1,
        beta2: optimizer.beta2,
        eps: optimizer.eps,
        weight_decay: optimizer.weight_decay,
        step: moments.updates + 1,
    };
    let tensors = params.values_mut().zip(&mut moments.first).zip(&mut moments.second).zip(grads);
    let states = tensors.filter_map(|(((param, first), second), grad)| {
        Some(AdamWState { param, first: first.as_mut()?, second: second.as_mut()?, grad: grad.as_ref()? })
    });
    let mut states: Vec<_> = states.collect();
    if !states.is_empty() {
        backend.adamw(&mut states, factor, &constants);
    }
    moments.updates += 1;
}
