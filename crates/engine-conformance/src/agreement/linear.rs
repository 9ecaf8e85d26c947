//! Linear layers and their adapters.

use super::{
    CHANNELS, Choices, Experiment, Results, STORED, Stored, lanes_with_gaps, optional, shape_of, weight,
    with_every_acc,
};
use crate::{Instance, Subject};
use fairhuman_engine::{Backend, Epilogue, LowRank, WeightLayout};

#[derive(Debug)]
struct LinearCase {
    samples: usize,
    middle: Vec<usize>,
    inputs: usize,
    outputs: usize,
    stored: Stored,
    /// The file says `[O, I, 1, 1]`.
    from_filter: bool,
    rank: Option<usize>,
    bias: bool,
    shift: bool,
    residual: bool,
}

impl Experiment for LinearCase {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let b = on.backend;
        let Self { samples, inputs, outputs, .. } = *self;
        let lanes = lanes_with_gaps(samples);
        let (y_shape, x_shape) =
            (shape_of(samples, &self.middle, outputs), shape_of(samples, &self.middle, inputs));
        let file_shape = if self.from_filter { vec![outputs, inputs, 1, 1] } else { vec![outputs, inputs] };
        let weight = match self.stored {
            Stored::Trained => weight(on, self.stored, WeightLayout::Matrix, &[outputs, inputs]),
            _ => weight(on, self.stored, WeightLayout::Matrix, &file_shape),
        };
        let x = on.tensor(1, &x_shape);
        let pair = self.rank.map(|r| (on.tensor(2, &[r, inputs]), on.tensor(3, &[outputs, r])));
        let low_rank = pair.as_ref().map(|(down, up)| LowRank { down, up, scale: 0.7 });
        let bias = optional(on, self.bias, 4, &[outputs]);
        let shift = optional(on, self.shift, 5, &[samples, outputs]);
        let residual = optional(on, self.residual, 6, &y_shape);
        let epilogue = Epilogue { bias: bias.as_ref(), shift: shift.as_ref(), residual: residual.as_ref() };

        let mut results = Results::default();
        let hidden = low_rank.map(|pair| b.low_rank(&x, pair));
        let addition = hidden.as_ref().zip(low_rank);
        results.push(on, "result", &b.linear(&x, weight.value(), addition, epilogue));
        let g = on.tensor(7, &shape_of(lanes.len(), &self.middle, outputs));
        with_every_acc(on, &mut results, &shape_of(lanes.len(), &self.middle, inputs), |acc| {
            let low_rank = low_rank.map(|pair| (b.low_rank_vjp(&g, pair), pair.down));
            b.linear_vjp(&g, weight.value(), low_rank.as_ref().map(|(h, down)| (h, *down)), acc)
        });
        results.push(on, "weight", &b.linear_vjp_params(&g, &x, &lanes));
        results.push(on, "bias", &b.sum_rows(&g, &lanes));
        results.push(on, "shift", &b.sum_positions(&g));
        if let Some((hidden, pair)) = addition {
            let h = b.low_rank_vjp(&g, pair);
            let (down, up) = b.low_rank_vjp_params((&g, &h), (&x, hidden), pair.scale, &lanes);
            results.push(on, "hidden", hidden);
            results.push(on, "down", &down);
            results.push(on, "up", &up);
        }
        results
    }
}

/// Numbers of channels around the tiles of kernels.
pub fn every_size_of_linear_layer<B: Backend>(subject: &Subject<B>) {
    let mut number = 0;
    for inputs in CHANNELS {
        for outputs in CHANNELS {
            number += 1;
            let mut choose = Choices(number);
            subject.assert_agrees(&LinearCase {
                samples: 1 + choose.index(5),
                middle: [vec![], vec![1], vec![7], vec![5, 7], vec![64], vec![131]][choose.index(6)].clone(),
                inputs,
                outputs,
                stored: STORED[number as usize % 4],
                from_filter: choose.flag(),
                rank: choose.of(&[None, Some(1), Some(4), Some(16), Some(33)]),
                bias: choose.flag(),
                shift: choose.flag(),
                residual: choose.flag(),
            });
        }
    }
}

/// Sizes of a small U-Net, with every type of weight.
pub fn linear_layers_of_a_network<B: Backend>(subject: &Subject<B>) {
    for stored in STORED {
        for (tokens, inputs, outputs, rank) in [(77, 96, 320, Some(16)), (256, 320, 72, None)] {
            let middle = vec![tokens];
            subject.assert_agrees(&LinearCase {
                samples: 2,
                middle,
                inputs,
                outputs,
                stored,
                from_filter: false,
                rank,
                bias: true,
                shift: false,
                residual: true,
            });
        }
    }
}
