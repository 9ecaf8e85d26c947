//! What happens to gradients once they exist.

use super::array::{Array, add_scaled, dot};
use crate::AdamW;

/// Inner products of the objectives' gradients, row-major `K x K`.
pub(super) fn gram(grads: &Array) -> Vec<f64> {
    let objectives = 0..grads.first();
    objectives
        .clone()
        .flat_map(|i| objectives.clone().map(move |j| dot(grads.part(i), grads.part(j))))
        .collect()
}

/// `sum_k coefficients[k] * grads[k]`.
pub(super) fn combine(grads: &Array, coefficients: &[f64]) -> Array {
    let mut values = vec![0.0; grads.stride()];
    for (k, &coefficient) in coefficients.iter().enumerate() {
        add_scaled(&mut values, coefficient, grads.part(k));
    }
    Array::new(&grads.shape()[1..], values)
}

/// One AdamW step in PyTorch's order: decay the parameter, update the moments, then step by the
/// bias-corrected quotient.
pub(super) fn adamw(state: [Array; 3], grad: &Array, grad_scale: f64, constants: &AdamW) -> [Array; 3] {
    let AdamW { lr, beta1, beta2, eps, weight_decay, step } = *constants;
    let correction1 = 1.0 - beta1.powf(step as f64);
    let correction2 = 1.0 - beta2.powf(step as f64);
    let [mut param, mut first, mut second] = state.each_ref().map(|a| a.values().to_vec());
    for (i, g) in grad.values().iter().map(|g| g * grad_scale).enumerate() {
        param[i] *= 1.0 - lr * weight_decay;
        first[i] += (g - first[i]) * (1.0 - beta1);
        second[i] = second[i] * beta2 + (1.0 - beta2) * g * g;
        let denominator = second[i].sqrt() / correction2.sqrt() + eps;
        param[i] -= lr / correction1 * first[i] / denominator;
    }
    let shape = state[0].shape();
    [param, first, second].map(|values| Array::new(shape, values))
}
