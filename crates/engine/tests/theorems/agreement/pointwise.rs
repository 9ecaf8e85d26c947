//! Pointwise functions and sums.

use super::{Experiment, Results, assert_agree, lanes_with_gaps};
use crate::common::{Exact, noise, tensor};
use fairhuman_engine::Activation;

const KINDS: [Activation; 4] =
    [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu];

/// All pointwise work on `[samples, positions, channels]` values of a size.
#[derive(Debug)]
struct PointwiseCase {
    samples: usize,
    positions: usize,
    channels: usize,
    size: f32,
}

impl Experiment for PointwiseCase {
    fn run<B: Exact>(&self, b: &B) -> Results {
        let Self { samples, positions, channels, size } = *self;
        let lanes = lanes_with_gaps(samples);
        let shape = [samples, positions, channels];
        let values: Vec<_> = noise(1, 2 * shape.iter().product::<usize>()).iter().map(|v| v * size).collect();
        let x = b.tensor(&shape, &values[..values.len() / 2]);
        let g = tensor(b, 7, &[lanes.len(), positions, channels]);
        let mut results = Results::default();
        for kind in KINDS {
            results.push(b, "activation", &b.activation(&x, kind));
            results.push(b, "slope", &b.activation_vjp(&g, &x, kind, &lanes));
        }
        let double = b.tensor(&[samples, positions, 2 * channels], &values);
        results.push(b, "geglu", &b.geglu(&double));
        results.push(b, "geglu's input", &b.geglu_vjp(&g, &double, &lanes));
        let other = tensor(b, 8, &shape);
        results.push(b, "sum", &b.add(&x, &other));
        results.push(b, "sum in place", &b.accumulate(tensor(b, 9, &shape), &other));
        results.push(b, "sum with a shared tensor", &b.accumulate(x.clone(), &other));
        results.push(b, "shared tensor", &x);
        results.push(b, "multiple", &b.scale(&x, -1.75));
        results
    }
}

#[test]
fn every_size_of_pointwise_work() {
    for (number, channels) in [1, 3, 16, 31, 64, 65, 129, 1000].into_iter().enumerate() {
        for size in [1.0, 8.0] {
            let (samples, positions) = (1 + number % 5, [7, 1, 64][number % 3]);
            assert_agree(&PointwiseCase { samples, positions, channels, size });
        }
    }
}

/// The functions at given points, one result per point, so that each is compared in its own scale.
#[derive(Debug)]
struct Points(Vec<f32>);

impl Experiment for Points {
    fn run<B: Exact>(&self, b: &B) -> Results {
        let lanes = lanes_with_gaps(1);
        let mut results = Results::default();
        for &x in &self.0 {
            let (x, g) = (b.tensor(&[1, 1], &[x]), tensor(b, 7, &[lanes.len(), 1]));
            for kind in KINDS {
                results.push(b, "activation", &b.activation(&x, kind));
                results.push(b, "slope", &b.activation_vjp(&g, &x, kind, &lanes));
            }
        }
        results
    }
}

#[test]
fn activations_at_special_points() {
    let positive =
        [0.0, 1e-30, 1e-8, 1e-4, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0, 90.0, 200.0, 1e4, 1e12];
    let negative_ones = [1e-30, 1e-8, 1e-4, 0.1, 0.5, 1.0, 2.0];
    assert_agree(&Points(positive.into_iter().chain(negative_ones.map(|x| -x)).collect()));
    // Far below zero all of them vanish; what is left must be small and finite.
    let far = [-20.0, -60.0, -90.0, -200.0, -1e4, -1e12];
    for (name, _, values) in Points(far.to_vec()).run(&super::CPUS[0]).0 {
        assert!(values.iter().all(|v| v.abs() < 1e-6), "{name} far below zero: {values:?}");
    }
}
