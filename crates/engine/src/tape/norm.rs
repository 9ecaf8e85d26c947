//! Normalisations on the tape.

use super::{Tape, Var, count};
use crate::observe::Op;
use crate::{Affine, Backend, Norm, Params, PerChannel};

fn affine<'a, B: Backend>(norm: &'a Norm<B>, params: &'a Params<B>) -> Affine<'a, B> {
    Affine { gamma: norm.gamma.value(params), beta: norm.beta.value(params), eps: norm.eps }
}

impl<'m, B: Backend> Tape<'m, B> {
    /// Group normalisation of `x [N, ..., C]`, then SiLU if asked.
    pub fn group_norm(&mut self, x: &Var<B>, norm: &'m Norm<B>, groups: usize, silu: bool) -> Var<B> {
        let (params, node, size) = (self.params, x.node, count(x.shape()));
        let (value, stats) = self.observe(
            || Op::memory("group norm", 2 * size),
            |b| b.group_norm(&x.value, groups, affine(norm, params), silu),
        );
        let ids = (norm.gamma.trained(), norm.beta.trained());
        let tracked = node.is_some() || ids.0.is_some() || ids.1.is_some();
        let x = x.value.clone();
        self.result(value, tracked, || {
            Box::new(move |pull, g| {
                let (saved, affine) = ((&x, &stats), affine(norm, pull.params));
                if ids.0.is_some() || ids.1.is_some() {
                    let (gamma, beta) = pull.observe(
                        || Op::memory("group norm gradient", 2 * count(B::shape(&g))),
                        |b| b.group_norm_vjp_params(&g, saved, affine, silu, pull.lanes),
                    );
                    put_params(pull, norm, gamma, beta);
                }
                if let Some(node) = node {
                    let acc = pull.take(node);
                    let grad = pull.observe(
                        || Op::memory("group norm vjp", 3 * count(B::shape(&g))),
                        |b| b.group_norm_vjp(&g, saved, affine, silu, pull.lanes, acc),
                    );
                    pull.put(node, grad);
                }
            })
        })
    }

    /// Layer normalisation over the last dimension.
    pub fn layer_norm(&mut self, x: &Var<B>, norm: &'m Norm<B>) -> Var<B> {
        let (params, node, size) = (self.params, x.node, count(x.shape()));
        let (value, stats) = self
            .observe(|| Op::memory("layer norm", 2 * size), |b| b.layer_norm(&x.value, affine(norm, params)));
        let ids = (norm.gamma.trained(), norm.beta.trained());
        let tracked = node.is_some() || ids.0.is_some() || ids.1.is_some();
        let x = x.value.clone();
        self.result(value, tracked, || {
            Box::new(move |pull, g| {
                let (saved, affine) = ((&x, &stats), affine(norm, pull.params));
                if ids.0.is_some() || ids.1.is_some() {
                    let (gamma, beta) = pull.observe(
                        || Op::memory("layer norm gradient", 2 * count(B::shape(&g))),
                        |b| b.layer_norm_vjp_params(&g, saved, affine, pull.lanes),
                    );
                    put_params(pull, norm, gamma, beta);
                }
                if let Some(node) = node {
                    let acc = pull.take(node);
                    let grad = pull.observe(
                        || Op::memory("layer norm vjp", 3 * count(B::shape(&g))),
                        |b| b.layer_norm_vjp(&g, saved, affine, pull.lanes, acc),
                    );
                    pull.put(node, grad);
                }
            })
        })
    }
}

fn put_params<B: Backend>(
    pull: &mut super::Pullback<'_, '_, B>,
    norm: &Norm<B>,
    gamma: B::Tensor,
    beta: B::Tensor,
) {
    for (vector, grad) in [(&norm.gamma, gamma), (&norm.beta, beta)] {
        if let Some(id) = PerChannel::trained(vector) {
            pull.add_param(id, grad);
        }
    }
}
