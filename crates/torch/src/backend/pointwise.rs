//! Pointwise functions, sums and multiples.

use super::Torch;
use crate::abi::{Handle, Type};
use crate::operators::{self, Gelu};
use crate::{Device, Tensor};
use fairhuman_engine::{Activation, Lanes};

/// `QuickGelu` is `x sigmoid(FACTOR x)`.
const QUICK_GELU: f64 = 1.702;

/// First and second half of the last dimension.
fn halves(x: &Handle) -> (Handle, Handle) {
    let (last, half) = (x.sizes().len() - 1, x.last() / 2);
    (x.narrow(last, 0, half), x.narrow(last, half, half))
}

impl Torch {
    pub(super) fn activate(&self, x: &Tensor, kind: Activation) -> Tensor {
        let x = self.values(x);
        Tensor::new(match kind {
            Activation::Silu => operators::silu(x),
            Activation::Gelu => operators::gelu(x, Gelu::Exact),
            Activation::GeluTanh => operators::gelu(x, Gelu::Tanh),
            Activation::QuickGelu => operators::mul(x, &operators::sigmoid(&operators::scale(x, QUICK_GELU))),
            Activation::Relu => operators::relu(x),
        })
    }

    pub(super) fn activate_vjp(&self, g: &Tensor, x: &Tensor, kind: Activation, lanes: &Lanes) -> Tensor {
        let sizes = self.values(g).sizes();
        let (g, x) = self.pair(self.values(g), self.values(x), lanes);
        let dx = match kind {
            Activation::Silu => operators::silu_backward(&g, &x),
            Activation::Gelu => operators::gelu_backward(&g, &x, Gelu::Exact),
            Activation::GeluTanh => operators::gelu_backward(&g, &x, Gelu::Tanh),
            // The slope of x sigmoid(c x) is that of SiLU at c x.
            Activation::QuickGelu => operators::silu_backward(&g, &operators::scale(&x, QUICK_GELU)),
            Activation::Relu => operators::mul(&g, &operators::greater(&x, &zero())),
        };
        Tensor::new(dx.reshape(&sizes))
    }

    pub(super) fn gated(&self, x: &Tensor) -> Tensor {
        let (first, gate) = halves(self.values(x));
        Tensor::new(operators::mul(&first, &operators::gelu(&gate, Gelu::Exact)))
    }

    /// `[g * gelu(gate), g * first * gelu'(gate)]`, each written where it belongs.
    pub(super) fn gated_vjp(&self, g: &Tensor, x: &Tensor, lanes: &Lanes) -> Tensor {
        let (g, x) = (self.values(g), self.values(x));
        let out = self.empty(&g.sizes_with_last(x.last()), self.kind());
        let (first, gate) = halves(x);
        // Once for all lanes of a sample.
        let activated = operators::gelu(&gate, Gelu::Exact);
        let (d_first, d_gate) = halves(&out);
        operators::mul_into(&d_first, g, &self.per_lane(&activated, lanes));
        let of_gate = operators::mul(g, &self.per_lane(&first, lanes));
        operators::gelu_backward_into(&d_gate, &of_gate, &self.per_lane(&gate, lanes), Gelu::Exact);
        Tensor::new(out)
    }

    /// f32 sums of f32 values, as gradients are, and else in the type of activations.
    pub(super) fn plus(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let [a, b] = if a.values().kind() == b.values().kind() {
            [a.values(), b.values()]
        } else {
            [self.values(a), self.values(b)]
        };
        Tensor::new(operators::add(a, b, 1.0))
    }

    pub(super) fn times(&self, x: &Tensor, factor: f32) -> Tensor {
        Tensor::new(operators::scale(x.values(), factor.into()))
    }
}

/// Zero, on the host, where kernels of every device read it from.
fn zero() -> Handle {
    let zero = Handle::from_slice(&[1], &[0.0_f32], Device::Cpu);
    let zero = zero.unwrap_or_else(|| super::out_of_memory(Type::F32.size()));
    zero.strided(&[], &[], 0)
}
