//! AdamW over all parameters, moments in f32: PyTorch's form.

use fairhuman_engine::{AdamW, AdamWState, Backend, Params};

use crate::recipe::Optimizer;

/// AdamW's state.
pub struct Moments<B: Backend> {
    /// Updates made so far. Refused steps are none.
    pub updates: u64,
    /// First moments, in the order of the parameters.
    pub first: Vec<B::Tensor>,
    /// Second moments.
    pub second: Vec<B::Tensor>,
}

impl<B: Backend> Moments<B> {
    /// The state before the first update: zeros.
    pub fn new(backend: &B, params: &Params<B>) -> Self {
        let zeros = || params.iter().map(|p| backend.zeros(B::shape(&p.value))).collect();
        Self { updates: 0, first: zeros(), second: zeros() }
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
        Some(AdamWState { param, first, second, grad: grad.as_ref()? })
    });
    backend.adamw(&mut states.collect::<Vec<_>>(), factor, &constants);
    moments.updates += 1;
}
