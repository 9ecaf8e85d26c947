//! Attention on the tape.

use super::{Tape, Var, count};
use crate::observe::Op;
use crate::{AttentionSaved, Backend};

impl<'m, B: Backend> Tape<'m, B> {
    /// Scaled dot-product attention of `q [N, T, C]` over `k, v [N, S, C]`.
    pub fn attention(&mut self, q: &Var<B>, k: &Var<B>, v: &Var<B>, heads: usize, causal: bool) -> Var<B> {
        let keys = k.shape()[1];
        let flops = 4.0 * count(q.shape()) as f64 * keys as f64;
        let (out, log_sum) = self.observe(
            || Op::product("attention", flops),
            |b| b.attention(&q.value, &k.value, &v.value, heads, causal),
        );
        let nodes = [q.node, k.node, v.node];
        let tracked = nodes.iter().any(Option::is_some);
        let saved = out.clone();
        let (q, k, v) = (q.value.clone(), k.value.clone(), v.value.clone());
        self.result(out, tracked, || {
            Box::new(move |pull, g| {
                // Per lane dV, dP, dQ and dK, and once per sample the scores.
                let rows = count(B::shape(&g)) as f64;
                let flops = (8.0 * rows + 2.0 * count(B::shape(&q)) as f64) * keys as f64;
                let saved = AttentionSaved { q: &q, k: &k, v: &v, out: &saved, log_sum: &log_sum };
                let grads = pull.observe(
                    || Op::product("attention vjp", flops),
                    |b| b.attention_vjp(&g, saved, heads, causal, pull.lanes),
                );
                for (node, grad) in nodes.into_iter().zip(grads) {
                    pull.add(node, grad);
                }
            })
        })
    }
}
