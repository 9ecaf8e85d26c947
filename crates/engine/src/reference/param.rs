//! Work on parameters and their gradients: Gram matrices, combinations, norms, AdamW and averages.

use super::Reference;
use super::array::{Array, add_scaled, dot};
use crate::{AdamW, AdamWState};

pub(super) fn gram(grads: &[&Array]) -> Vec<f64> {
    let objectives = grads.first().map_or(0, |grads| grads.first());
    let mut gram = vec![0.0; objectives * objectives];
    for grads in grads {
        for i in 0..objectives {
            for j in 0..objectives {
                gram[i * objectives + j] += dot(grads.part(i), grads.part(j));
            }
        }
    }
    gram
}

pub(super) fn combine(grads: &Array, coefficients: &[f64]) -> Array {
    let mut values = vec![0.0; grads.stride()];
    for (k, &coefficient) in coefficients.iter().enumerate() {
        add_scaled(&mut values, coefficient, grads.part(k));
    }
    Array::new(&grads.shape()[1..], values)
}

pub(super) fn norm(tensors: &[&Array]) -> f64 {
    let squares = tensors.iter().map(|tensor| tensor.values().iter().map(|v| v * v).sum::<f64>());
    squares.fold(0.0, |sum, squares| sum + squares).sqrt()
}

/// PyTorch's order: decay the parameter, update the moments, then step by the bias-corrected quotient.
pub(super) fn adamw(state: &mut AdamWState<'_, Reference>, grad_scale: f64, constants: &AdamW) {
    let AdamW { lr, beta1, beta2, eps, weight_decay, step } = *constants;
    let correction1 = 1.0 - beta1.powf(step as f64);
    let correction2 = 1.0 - beta2.powf(step as f64);
    let AdamWState { param, first, second, grad } = state;
    let [mut p, mut m, mut v] = [&**param, &**first, &**second].map(|a| a.values().to_vec());
    for (i, g) in grad.values().iter().map(|g| g * grad_scale).enumerate() {
        p[i] *= 1.0 - lr * weight_decay;
        m[i] += (g - m[i]) * (1.0 - beta1);
        v[i] = v[i] * beta2 + (1.0 - beta2) * g * g;
        let denominator = v[i].sqrt() / correction2.sqrt() + eps;
        p[i] -= lr / correction1 * m[i] / denominator;
    }
    for (tensor, values) in [&mut **param, &mut **first, &mut **second].into_iter().zip([p, m, v]) {
        *tensor = Array::new(tensor.shape(), values);
    }
}

/// Factors are rounded to f32, as data on their way in are.
pub(super) fn ema(average: &mut Array, value: &Array, decay: f64) {
    let (keep, add) = (f64::from(decay as f32), f64::from((1.0 - decay) as f32));
    *average = average.map(|v| v * keep).plus(&value.map(|v| v * add));
}
