//! Operations that move values: exact; and the mean of neighbours.

use super::{Experiment, Results, STORED, Stored, lanes_with_gaps, weight};
use crate::{Instance, Subject};
use fairhuman_engine::{Backend, WeightLayout};

#[derive(Debug)]
struct StructureCase {
    samples: usize,
    channels: usize,
    other: usize,
    size: (usize, usize),
    stored: Stored,
}

impl Experiment for StructureCase {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let b = on.backend;
        let Self { samples, channels, other, stored, .. } = *self;
        let lanes = lanes_with_gaps(samples);
        let (h, w) = self.size;
        let mut results = Results::default();

        let (x, y) = (on.tensor(1, &[samples, h, w, channels]), on.tensor(2, &[samples, h, w, other]));
        let both = b.concat(&x, &y);
        let (first, second) = b.split(&both, channels);
        results.push(on, "concat", &both);
        results.push(on, "first part", &first);
        results.push(on, "second part", &second);
        results.push(on, "reshaped", &b.reshape(&x, &[samples, h * w, channels]));
        results.push(on, "zeros", &b.zeros(&[samples, channels]));
        for size in [(2 * h, 2 * w), (h, w), (2 * h + 1, w + 3), (h.div_ceil(2), w.div_ceil(3))] {
            results.push(on, "resized", &b.resize_nearest(&x, size));
            let g = on.tensor(7, &[lanes.len(), size.0, size.1, channels]);
            results.push(on, "resize's input", &b.resize_nearest_vjp(&g, (h, w)));
        }

        results.push(on, "pooled", &b.avg_pool2(&x));
        let g = on.tensor(10, &[lanes.len(), h.div_ceil(2), w.div_ceil(2), channels]);
        results.push(on, "pooling's input", &b.avg_pool2_vjp(&g, (h, w)));

        let (rows, tokens) = (11, h * w);
        let table = weight(on, stored, WeightLayout::Table, &[rows, channels]);
        let ids: Vec<u32> = (0..samples * tokens).map(|i| (i * i % 7 + 4 * (i % 2)) as u32).collect();
        results.push(on, "embedding", &b.embedding(&ids, (samples, tokens), table.value()));
        let g = on.tensor(8, &[lanes.len(), tokens, channels]);
        results.push(on, "table", &b.embedding_vjp_params(&g, &ids, rows, &lanes));
        let index: Vec<_> = (0..samples).map(|n| n * 5 % tokens).collect();
        results.push(on, "token", &b.pick_token(&b.reshape(&x, &[samples, tokens, channels]), &index));
        let g = on.tensor(9, &[lanes.len(), channels]);
        results.push(on, "token's input", &b.pick_token_vjp(&g, &index, tokens, &lanes));
        results
    }
}

/// Numbers of channels around the width of vectors; every type of table.
pub fn every_size_of_moved_values<B: Backend>(subject: &Subject<B>) {
    for (number, channels) in [1, 3, 16, 31, 65, 129].into_iter().enumerate() {
        for stored in STORED {
            let (samples, other) = (1 + number % 5, [5, 1, 64][number % 3]);
            let size = [(1, 1), (4, 5), (7, 2)][number % 3];
            // Sums of a few values; everything else is exact.
            subject.assert_agrees_within(
                subject.tolerances.moved,
                &StructureCase { samples, channels, other, size, stored },
            );
        }
    }
}
