//! Pointwise functions and sums.

use super::{Experiment, Results, lanes_with_gaps};
use crate::numbers::noise;
use crate::{Instance, Subject};
use fairhuman_engine::{Activation, Backend};

const KINDS: [Activation; 5] =
    [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu, Activation::Relu];

/// All pointwise work on `[samples, positions, channels]` values of a size.
#[derive(Debug)]
struct PointwiseCase {
    samples: usize,
    positions: usize,
    channels: usize,
    size: f32,
}

impl Experiment for PointwiseCase {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let b = on.backend;
        let Self { samples, positions, channels, size } = *self;
        let lanes = lanes_with_gaps(samples);
        let shape = [samples, positions, channels];
        let values: Vec<_> = noise(1, 2 * shape.iter().product::<usize>()).iter().map(|v| v * size).collect();
        let x = on.given(&shape, &values[..values.len() / 2]);
        let g = on.tensor(7, &[lanes.len(), positions, channels]);
        let mut results = Results::default();
        for kind in KINDS {
            results.push(on, "activation", &b.activation(&x, kind));
            results.push(on, "slope", &b.activation_vjp(&g, &x, kind, &lanes));
        }
        let double = on.given(&[samples, positions, 2 * channels], &values);
        results.push(on, "geglu", &b.geglu(&double));
        results.push(on, "geglu's input", &b.geglu_vjp(&g, &double, &lanes));
        let other = on.tensor(8, &shape);
        results.push(on, "sum", &b.add(&x, &other));
        results.push(on, "sum in place", &b.accumulate(on.tensor(9, &shape), &other));
        results.push(on, "sum with a shared tensor", &b.accumulate(x.clone(), &other));
        results.push(on, "shared tensor", &x);
        results.push(on, "multiple", &b.scale(&x, -1.75));
        results
    }
}

/// Numbers of values around the width of vectors.
pub fn every_size_of_pointwise_work<B: Backend>(subject: &Subject<B>) {
    for (number, channels) in [1, 3, 16, 31, 64, 65, 129, 1000].into_iter().enumerate() {
        for size in [1.0, 8.0] {
            let (samples, positions) = (1 + number % 5, [7, 1, 64][number % 3]);
            subject.assert_agrees(&PointwiseCase { samples, positions, channels, size });
        }
    }
}

/// The functions at given points, one result per point, so that each is compared in its own scale.
#[derive(Debug)]
struct Points(Vec<f32>);

impl Experiment for Points {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let b = on.backend;
        let lanes = lanes_with_gaps(1);
        let mut results = Results::default();
        for &x in &self.0 {
            let (x, g) = (on.given(&[1, 1], &[x]), on.tensor(7, &[lanes.len(), 1]));
            for kind in KINDS {
                results.push(on, "activation", &b.activation(&x, kind));
                results.push(on, "slope", &b.activation_vjp(&g, &x, kind, &lanes));
            }
        }
        results
    }
}

/// Zero, tiny and huge values, each compared in its own scale.
pub fn activations_at_special_points<B: Backend>(subject: &Subject<B>) {
    let positive =
        [0.0, 1e-30, 1e-8, 1e-4, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0, 90.0, 200.0, 1e4, 1e12];
    let negative_ones = [1e-30, 1e-8, 1e-4, 0.1, 0.5, 1.0, 2.0];
    subject.assert_agrees(&Points(positive.into_iter().chain(negative_ones.map(|x| -x)).collect()));
}

/// Far below zero the functions are small and finite.
pub fn activations_far_below_zero_vanish<B: Backend>(subject: &Subject<B>) {
    let far = Points(vec![-20.0, -60.0, -90.0, -200.0, -1e4, -1e12]);
    for on in subject.instances() {
        for (name, _, values) in far.run(on).0 {
            assert!(values.iter().all(|v| v.abs() < 1e-6), "{name} far below zero: {values:?}");
        }
    }
}
