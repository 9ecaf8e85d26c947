//! Pointwise functions and their derivatives, as the formulas say.

use super::array::Array;
use crate::{Activation, Lanes};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x * sigmoid(x)`.
pub(super) fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// Derivative of SiLU.
pub(super) fn silu_slope(x: f64) -> f64 {
    sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))
}

/// The normal distribution function.
fn phi(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

fn gelu(x: f64) -> f64 {
    x * phi(x)
}

fn gelu_slope(x: f64) -> f64 {
    phi(x) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The argument of the tanh approximation, and its derivative (Hendrycks & Gimpel 2016).
fn tanh_argument(x: f64) -> (f64, f64) {
    let factor = (2.0 / PI).sqrt();
    (factor * (x + 0.044715 * x.powi(3)), factor * (1.0 + 3.0 * 0.044715 * x * x))
}

fn value(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Silu => silu(x),
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => 0.5 * x * (1.0 + tanh_argument(x).0.tanh()),
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        // Not max, which would make 0 of NaN.
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
    }
}

fn slope(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Silu => silu_slope(x),
        Activation::Gelu => gelu_slope(x),
        Activation::GeluTanh => {
            let (u, du) = tanh_argument(x);
            0.5 * (1.0 + u.tanh()) + 0.5 * x * (1.0 - u.tanh().powi(2)) * du
        }
        Activation::QuickGelu => silu_slope(1.702 * x),
        Activation::Relu => f64::from(u8::from(x > 0.0)),
    }
}

/// The function at every value.
pub(super) fn activation(x: &Array, kind: Activation) -> Array {
    x.map(|x| value(kind, x))
}

/// `g` times the slope at the lane's sample.
pub(super) fn activation_vjp(g: &Array, x: &Array, kind: Activation, lanes: &Lanes) -> Array {
    let mut values = Vec::new();
    for lane in 0..lanes.len() {
        let x = x.part(lanes.sample(lane));
        values.extend(g.part(lane).iter().zip(x).map(|(g, &x)| g * slope(kind, x)));
    }
    Array::new(g.shape(), values)
}

/// First half times GELU of the second.
pub(super) fn geglu(x: &Array) -> Array {
    let half = x.channels() / 2;
    let mut values = Vec::new();
    for r in 0..x.first() * x.positions() {
        let (a, gate) = x.row(r).split_at(half);
        values.extend(a.iter().zip(gate).map(|(a, &gate)| a * gelu(gate)));
    }
    Array::new(&x.with_channels(half), values)
}

/// `[g * gelu(gate), g * a * gelu'(gate)]`.
pub(super) fn geglu_vjp(g: &Array, x: &Array, lanes: &Lanes) -> Array {
    let (half, positions) = (g.channels(), g.positions());
    let mut values = Vec::new();
    for lane in 0..lanes.len() {
        for p in 0..positions {
            let g = g.row(lane * positions + p);
            let (a, gate) = x.row(lanes.sample(lane) * positions + p).split_at(half);
            values.extend(g.iter().zip(gate).map(|(g, &gate)| g * gelu(gate)));
            values.extend((0..half).map(|c| g[c] * a[c] * gelu_slope(gate[c])));
        }
    }
    Array::new(&g.with_channels(2 * half), values)
}
