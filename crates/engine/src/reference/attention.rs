//! Attention, one (sample, head) at a time, with the probabilities written out.

use super::Reference;
use super::array::{Array, add_scaled, dot};
use crate::{AttentionSaved, Lanes};

/// One head's channels of token `t` of sample `n`.
fn head_row(x: &Array, (n, head, heads): (usize, usize, usize), t: usize) -> &[f64] {
    let width = x.channels() / heads;
    &x.row(n * x.positions() + t)[head * width..(head + 1) * width]
}

fn head_row_mut<'a>(
    values: &'a mut [f64],
    like: &Array,
    (n, head, heads): (usize, usize, usize),
    t: usize,
) -> &'a mut [f64] {
    let width = like.channels() / heads;
    let start = (n * like.positions() + t) * like.channels() + head * width;
    &mut values[start..start + width]
}

/// Scores of one query over all keys; hidden ones are minus infinity.
fn scores(q: &Array, k: &Array, at: (usize, usize, usize), t: usize, causal: bool) -> Vec<f64> {
    let query = head_row(q, at, t);
    let scale = 1.0 / (query.len() as f64).sqrt();
    let score = |s: usize| {
        if causal && s > t { f64::NEG_INFINITY } else { scale * dot(query, head_row(k, at, s)) }
    };
    (0..k.positions()).map(score).collect()
}

/// `softmax(q k^T / sqrt(width)) v` per head, and the logarithms of the softmax denominators.
pub(super) fn attention(q: &Array, k: &Array, v: &Array, heads: usize, causal: bool) -> (Array, Array) {
    let mut out = vec![0.0; q.values().len()];
    let mut log_sums = Vec::new();
    for n in 0..q.first() {
        for head in 0..heads {
            let at = (n, head, heads);
            for t in 0..q.positions() {
                let scores = scores(q, k, at, t, causal);
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let log_sum = largest + scores.iter().map(|s| (s - largest).exp()).sum::<f64>().ln();
                let row = head_row_mut(&mut out, q, at, t);
                for (s, score) in scores.iter().enumerate() {
                    add_scaled(row, (score - log_sum).exp(), head_row(v, at, s));
                }
                log_sums.push(log_sum);
            }
        }
    }
    (Array::new(q.shape(), out), Array::new(&[q.first(), heads, q.positions()], log_sums))
}

/// With probabilities `p` and output `o`: `dv = p^T g`, `ds = p * (g v^T - g . o)`, `dq = ds k`,
/// `dk = ds^T q`.
pub(super) fn attention_vjp(
    g: &Array,
    saved: AttentionSaved<'_, Reference>,
    heads: usize,
    causal: bool,
    lanes: &Lanes,
) -> [Array; 3] {
    let AttentionSaved { q, k, v, out, log_sum } = saved;
    let (queries, keys) = (q.positions(), k.positions());
    let scale = 1.0 / ((q.channels() / heads) as f64).sqrt();
    let shapes = [q, k, v].map(|x| x.with_first(lanes.len()));
    let [mut dq, mut dk, mut dv] = shapes.each_ref().map(|s| vec![0.0; s.iter().product()]);
    for lane in 0..lanes.len() {
        for head in 0..heads {
            let (at, to) = ((lanes.sample(lane), head, heads), (lane, head, heads));
            for t in 0..queries {
                let log_sum = log_sum.values()[(at.0 * heads + head) * queries + t];
                let scores = scores(q, k, at, t, causal);
                let g_row = head_row(g, to, t);
                let g_out = dot(g_row, head_row(out, at, t));
                for (s, score) in scores.iter().enumerate().take(keys) {
                    let p = (score - log_sum).exp();
                    let ds = p * (dot(g_row, head_row(v, at, s)) - g_out) * scale;
                    add_scaled(head_row_mut(&mut dv, v, to, s), p, g_row);
                    add_scaled(head_row_mut(&mut dq, q, to, t), ds, head_row(k, at, s));
                    add_scaled(head_row_mut(&mut dk, k, to, s), ds, head_row(q, at, t));
                }
            }
        }
    }
    [Array::new(&shapes[0], dq), Array::new(&shapes[1], dk), Array::new(&shapes[2], dv)]
}
