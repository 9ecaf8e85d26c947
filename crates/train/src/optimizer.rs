//! AdamW over all parameters, moments in f32: PyTorch's form, one parameter after the other.

use fairhuman_engine::{AdamW, Backend, Params};

use crate::recipe::Optimizer;

/// What AdamW remembers.
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

/// One update with the gradient `grads * factor`. A parameter without a gradient stays as it is.
pub fn update<B: Backend>(
    backend: &B,
    params: &mut Params<B>,
    moments: &mut Moments<B>,
    grads: &[Option<B::Tensor>],
    factor: f64,
    optimizer: &Optimizer,
    learning_rate: f64,
) {
    moments.updates += 1;
    let constants = AdamW {
        lr: learning_rate,
        beta1: optimizer.beta1,
        beta2: optimizer.beta2,
        eps: optimizer.eps,
        weight_decay: optimizer.weight_decay,
        step: moments.updates,
    };
    backend.scope(|| {
        for (id, grad) in params.ids().zip(grads) {
            let Some(grad) = grad else { continue };
            let state = [params.get(id).clone(), moments.first[id.0].clone(), moments.second[id.0].clone()];
            let [value, first, second] = backend.adamw(state, grad, factor, &constants);
            params.set(id, value);
            moments.first[id.0] = first;
            moments.second[id.0] = second;
        }
    });
}
