//! Group and layer normalisation.

use super::{Choices, Experiment, Results, lanes_with_gaps, shape_of, with_every_acc};
use crate::numbers::noise;
use crate::{Instance, Subject};
use fairhuman_engine::{Affine, Backend};

#[derive(Debug)]
struct NormCase {
    samples: usize,
    middle: Vec<usize>,
    channels: usize,
    /// None: layer normalisation.
    groups: Option<usize>,
    silu: bool,
    /// Added to the input: statistics of values far from zero.
    offset: f32,
}

impl Experiment for NormCase {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let b = on.backend;
        let Self { samples, channels, silu, .. } = *self;
        let lanes = lanes_with_gaps(samples);
        let positions: usize = self.middle.iter().product();
        let together = self.groups.map_or(channels, |groups| positions * channels / groups);
        let (gamma, beta) = (on.tensor(2, &[channels]), on.tensor(3, &[channels]));
        // The derivative of a set of one or two values is a difference of equals: only eps keeps it
        // well-posed.
        let eps = if together < 16 { 0.1 } else { 1e-5 };
        let affine = Affine { gamma: &gamma, beta: &beta, eps };
        let values: Vec<_> =
            noise(1, samples * positions * channels).iter().map(|v| v + self.offset).collect();
        let x = on.given(&shape_of(samples, &self.middle, channels), &values);
        let shape = shape_of(lanes.len(), &self.middle, channels);
        let g = on.tensor(7, &shape);

        let mut results = Results::default();
        let (y, stats) = match self.groups {
            Some(groups) => b.group_norm(&x, groups, affine, silu),
            None => b.layer_norm(&x, affine),
        };
        results.push(on, "result", &y);
        results.push(on, "statistics", &stats);
        let saved = (&x, &stats);
        with_every_acc(on, &mut results, &shape, |acc| match self.groups {
            Some(_) => b.group_norm_vjp(&g, saved, affine, silu, &lanes, acc),
            None => b.layer_norm_vjp(&g, saved, affine, &lanes, acc),
        });
        let (gamma, beta) = match self.groups {
            Some(_) => b.group_norm_vjp_params(&g, saved, affine, silu, &lanes),
            None => b.layer_norm_vjp_params(&g, saved, affine, &lanes),
        };
        results.push(on, "gamma", &gamma);
        results.push(on, "beta", &beta);
        results
    }
}

/// Numbers of channels and groups around the width of vectors.
pub fn every_size_of_group_norm<B: Backend>(subject: &Subject<B>) {
    let sizes = [
        (1, 1),
        (3, 1),
        (3, 3),
        (16, 4),
        (16, 16),
        (31, 1),
        (31, 31),
        (64, 32),
        (65, 5),
        (129, 3),
        (320, 32),
    ];
    for (number, (channels, groups)) in sizes.into_iter().cycle().take(4 * sizes.len()).enumerate() {
        let mut choose = Choices(number as u64);
        subject.assert_agrees(&NormCase {
            samples: 1 + choose.index(5),
            middle: [vec![], vec![1], vec![3, 5], vec![8, 8], vec![13, 11]][choose.index(5)].clone(),
            channels,
            groups: Some(groups),
            silu: choose.flag(),
            offset: choose.of(&[0.0, 0.0, -10.0]),
        });
    }
}

/// Numbers of channels around the width of vectors.
pub fn every_size_of_layer_norm<B: Backend>(subject: &Subject<B>) {
    let sizes = [1, 3, 16, 31, 64, 65, 129, 320];
    for (number, channels) in sizes.into_iter().cycle().take(3 * sizes.len()).enumerate() {
        let mut choose = Choices(100 + number as u64);
        subject.assert_agrees(&NormCase {
            samples: 1 + choose.index(5),
            middle: [vec![], vec![1], vec![7], vec![77]][choose.index(4)].clone(),
            channels,
            groups: None,
            silu: false,
            offset: choose.of(&[0.0, 0.0, -10.0]),
        });
    }
}
