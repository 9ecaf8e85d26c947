//! Pointwise functions and sums on the tape.

use super::{Tape, Var, count};
use crate::observe::Op;
use crate::{Activation, Backend};

impl<'m, B: Backend> Tape<'m, B> {
    /// A pointwise function.
    pub fn activation(&mut self, x: &Var<B>, kind: Activation) -> Var<B> {
        let size = count(x.shape());
        let value = self.observe(|| Op::memory("activation", 2 * size), |b| b.activation(&x.value, kind));
        let (node, x) = (x.node, x.value.clone());
        self.result(value, node.is_some(), || {
            Box::new(move |pull, g| {
                let grad = pull.observe(
                    || Op::memory("activation vjp", 3 * count(B::shape(&g))),
                    |b| b.activation_vjp(&g, &x, kind, pull.lanes),
                );
                pull.add(node, grad);
            })
        })
    }

    /// GEGLU: `[N, ..., 2F] -> [N, ..., F]`.
    pub fn geglu(&mut self, x: &Var<B>) -> Var<B> {
        let size = count(x.shape());
        let value = self.observe(|| Op::memory("geglu", size * 3 / 2), |b| b.geglu(&x.value));
        let (node, x) = (x.node, x.value.clone());
        self.result(value, node.is_some(), || {
            Box::new(move |pull, g| {
                let grad = pull.observe(
                    || Op::memory("geglu vjp", 5 * count(B::shape(&g))),
                    |b| b.geglu_vjp(&g, &x, pull.lanes),
                );
                pull.add(node, grad);
            })
        })
    }

    /// Sum of two values of one shape.
    pub fn add(&mut self, a: &Var<B>, b: &Var<B>) -> Var<B> {
        let size = count(a.shape());
        let value = self.observe(|| Op::memory("add", 3 * size), |backend| backend.add(&a.value, &b.value));
        let (left, right) = (a.node, b.node);
        self.result(value, left.is_some() || right.is_some(), || {
            Box::new(move |pull, g| {
                pull.add(left, g.clone());
                pull.add(right, g);
            })
        })
    }

    /// `x * factor`.
    pub fn scale(&mut self, x: &Var<B>, factor: f32) -> Var<B> {
        let size = count(x.shape());
        let value = self.observe(|| Op::memory("scale", 2 * size), |b| b.scale(&x.value, factor));
        let node = x.node;
        self.result(value, node.is_some(), || {
            Box::new(move |pull, g| {
                let grad = pull.backend.scale(&g, factor);
                pull.add(node, grad);
            })
        })
    }
}
