//! Attention.

use super::{Choices, Experiment, Results, lanes_with_gaps};
use crate::numbers::noise;
use crate::{Instance, Subject};
use fairhuman_engine::{AttentionSaved, Backend};

#[derive(Debug)]
struct AttentionCase {
    samples: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    width: usize,
    causal: bool,
    /// Size of the queries: large ones make sharp probabilities.
    sharpness: f32,
}

impl Experiment for AttentionCase {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let b = on.backend;
        let Self { samples, queries, keys, heads, width, causal, sharpness } = *self;
        let lanes = lanes_with_gaps(samples);
        let channels = heads * width;
        let shape = [samples, queries, channels];
        let values: Vec<_> = noise(1, shape.iter().product()).iter().map(|v| v * sharpness).collect();
        let q = on.given(&shape, &values);
        let (k, v) = (on.tensor(2, &[samples, keys, channels]), on.tensor(3, &[samples, keys, channels]));
        let g = on.tensor(7, &[lanes.len(), queries, channels]);

        let mut results = Results::default();
        let (out, log_sum) = b.attention(&q, &k, &v, heads, causal);
        results.push(on, "result", &out);
        results.push(on, "log-denominators", &log_sum);
        let saved = AttentionSaved { q: &q, k: &k, v: &v, out: &out, log_sum: &log_sum };
        let [dq, dk, dv] = b.attention_vjp(&g, saved, heads, causal, &lanes);
        // With one key the probabilities are one whatever the scores: their gradients are rounding errors.
        if keys > 1 {
            results.push(on, "queries", &dq);
            results.push(on, "keys", &dk);
        }
        results.push(on, "values", &dv);
        results
    }
}

/// Numbers of tokens, keys, heads and channels around the blocks of kernels.
pub fn every_size_of_attention<B: Backend>(subject: &Subject<B>) {
    let widths = [1, 3, 8, 16, 31, 40, 64, 65];
    for (number, width) in widths.into_iter().cycle().take(5 * widths.len()).enumerate() {
        let mut choose = Choices(number as u64);
        let queries = choose.of(&[1, 2, 7, 16, 33, 65]);
        let causal = choose.index(3) == 0;
        subject.assert_agrees(&AttentionCase {
            samples: 1 + choose.index(4),
            queries,
            keys: if causal { queries } else { choose.of(&[1, 5, 16, 65, 77]) },
            heads: choose.of(&[1, 2, 5]),
            width,
            causal,
            sharpness: choose.of(&[1.0, 5.0]),
        });
    }
}

/// Sizes of a small U-Net and a text encoder.
pub fn attention_of_a_network<B: Backend>(subject: &Subject<B>) {
    for (keys, causal) in [(256, false), (77, false), (256, true)] {
        let (samples, queries, heads, width, sharpness) = (2, 256, 2, 64, 2.0);
        subject.assert_agrees(&AttentionCase { samples, queries, keys, heads, width, causal, sharpness });
    }
}

/// Scores of some hundreds: the exponential alone would overflow.
pub fn attention_with_huge_scores_is_finite<B: Backend>(subject: &Subject<B>) {
    let (samples, queries, keys, heads, width) = (2, 9, 9, 1, 16);
    for causal in [false, true] {
        let case = AttentionCase { samples, queries, keys, heads, width, causal, sharpness: 300.0 };
        for on in subject.instances() {
            for (name, _, values) in case.run(on).0 {
                assert!(values.iter().all(|v| v.is_finite()), "{name} of {case:?}");
            }
        }
    }
}
