//! Operations on the structure of tensors: values moved and values of neighbours averaged.

use super::{Tape, Var, count};
use crate::observe::Op;
use crate::{Backend, Weight};

impl<'m, B: Backend> Tape<'m, B> {
    /// The same values under another shape; the first dimension stays.
    pub fn reshape(&mut self, x: &Var<B>, shape: &[usize]) -> Var<B> {
        assert_eq!(x.shape()[0], shape[0], "a reshape keeps the sample dimension");
        let value = self.backend.reshape(&x.value, shape);
        let (node, back) = (x.node, x.shape()[1..].to_vec());
        self.result(value, node.is_some(), || {
            Box::new(move |pull, g| {
                let mut shape = vec![B::shape(&g)[0]];
                shape.extend(back);
                let grad = pull.backend.reshape(&g, &shape);
                pull.add(node, grad);
            })
        })
    }

    /// Concatenation along the last dimension.
    pub fn concat(&mut self, a: &Var<B>, b: &Var<B>) -> Var<B> {
        let size = count(a.shape()) + count(b.shape());
        let value = self.observe(|| Op::memory("concat", 2 * size), |be| be.concat(&a.value, &b.value));
        let (left, right) = (a.node, b.node);
        let first = a.shape()[a.shape().len() - 1];
        self.result(value, left.is_some() || right.is_some(), || {
            Box::new(move |pull, g| {
                let (a, b) =
                    pull.observe(|| Op::memory("split", 2 * count(B::shape(&g))), |be| be.split(&g, first));
                pull.add(left, a);
                pull.add(right, b);
            })
        })
    }

    /// Nearest-neighbour resize of `[N, H, W, C]`.
    pub fn resize_nearest(&mut self, x: &Var<B>, size: (usize, usize)) -> Var<B> {
        let value =
            self.observe(|| Op::memory("resize", count(x.shape())), |b| b.resize_nearest(&x.value, size));
        let (node, input) = (x.node, (x.shape()[1], x.shape()[2]));
        self.result(value, node.is_some(), || {
            Box::new(move |pull, g| {
                let grad = pull.observe(
                    || Op::memory("resize vjp", count(B::shape(&g))),
                    |b| b.resize_nearest_vjp(&g, input),
                );
                pull.add(node, grad);
            })
        })
    }

    /// Means of 2x2 windows of `[N, H, W, C]`; at odd ends of those cells that exist.
    pub fn avg_pool2(&mut self, x: &Var<B>) -> Var<B> {
        let value = self.observe(|| Op::memory("pool", count(x.shape())), |b| b.avg_pool2(&x.value));
        let (node, input) = (x.node, (x.shape()[1], x.shape()[2]));
        self.result(value, node.is_some(), || {
            Box::new(move |pull, g| {
                let grad = pull.observe(
                    || Op::memory("pool vjp", 4 * count(B::shape(&g))),
                    |b| b.avg_pool2_vjp(&g, input),
                );
                pull.add(node, grad);
            })
        })
    }

    /// Rows of a table: `ids` of shape `[N, T]` give `[N, T, C]`.
    pub fn embedding(
        &mut self,
        ids: &[u32],
        shape: (usize, usize),
        rows: usize,
        table: &'m Weight<B>,
    ) -> Var<B> {
        let params = self.params;
        let value = self
            .observe(|| Op::memory("embedding", ids.len()), |b| b.embedding(ids, shape, table.value(params)));
        let id = table.trained();
        let ids = ids.to_vec();
        self.result(value, id.is_some(), || {
            Box::new(move |pull, g| {
                let grad = pull.backend.embedding_vjp_params(&g, &ids, rows, pull.lanes);
                if let Some(id) = id {
                    pull.add_param(id, grad);
                }
            })
        })
    }

    /// One token of each sample: `[N, T, C] -> [N, C]`.
    pub fn pick_token(&mut self, x: &Var<B>, index: &[usize]) -> Var<B> {
        let value = self.backend.pick_token(&x.value, index);
        let (node, tokens, index) = (x.node, x.shape()[1], index.to_vec());
        self.result(value, node.is_some(), || {
            Box::new(move |pull, g| {
                let grad = pull.backend.pick_token_vjp(&g, &index, tokens, pull.lanes);
                pull.add(node, grad);
            })
        })
    }
}
