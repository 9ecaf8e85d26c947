//! AdamW over all parameters, moments in f32: PyTorch's form.

use fairhuman_engine::{AdamW, Backend, Params};
use rayon::prelude::*;

use crate::recipe::Optimizer;

/// Parameters that a thread works through by itself: an adapter has hundreds of small ones.
const FEW: usize = 8;

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
    let Moments { first, second, .. } = moments;
    let states = params.values_mut().zip(first).zip(second).zip(grads);
    let mut states: Vec<_> =
        states.filter_map(|(((value, m), v), grad)| Some(([value, m, v], grad.as_ref()?))).collect();
    backend.scope(|| {
        // In its place while a tensor is worked on, so that it is not shared and need not be copied.
        let nothing = backend.zeros(&[0]);
        states.par_iter_mut().with_min_len(FEW).for_each(|(state, grad)| {
            let taken = state.each_mut().map(|slot| std::mem::replace(&mut **slot, nothing.clone()));
            let new = backend.adamw(taken, grad, factor, &constants);
            state.iter_mut().zip(new).for_each(|(slot, tensor)| **slot = tensor);
        });
    });
}
