//! What is done with gradients.

use super::{Experiment, Results, assert_agree_within};
use crate::common::{Exact, adamw, noise, tensor};
use fairhuman_engine::AdamW;

#[derive(Debug)]
struct ParameterCase {
    objectives: usize,
    shape: Vec<usize>,
}

impl Experiment for ParameterCase {
    fn run<B: Exact>(&self, b: &B) -> Results {
        let k = self.objectives;
        let grads = tensor(b, 1, &[&[k], &self.shape[..]].concat());
        let mut results = Results::default();
        results.0.push(("Gram matrix", vec![k, k], b.gram(&[&grads])));
        results.0.push(("norm", vec![], vec![b.norm(&[&grads])]));
        let coefficients: Vec<f64> = noise(2, k).into_iter().map(f64::from).collect();
        let combined = b.combine(&[&grads], &coefficients).remove(0);
        results.push(b, "combination", &combined);

        let count = self.shape.iter().product();
        let second: Vec<_> = noise(5, count).iter().map(|v| v * v).collect();
        let mut state =
            [tensor(b, 3, &self.shape), tensor(b, 4, &self.shape), b.tensor(&self.shape, &second)];
        for step in [1, 2, 1000] {
            let constants = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2, step };
            let kept = state.clone();
            state = adamw(b, state, &combined, 0.37, &constants);
            for (name, tensor) in ["parameter", "first moment", "second moment"].into_iter().zip(&state) {
                results.push(b, name, tensor);
            }
            results.push(b, "kept parameter", &kept[0]);
        }
        results
    }
}

#[test]
fn every_size_of_parameter() {
    for objectives in [1, 2, 3, 5] {
        for shape in [vec![1], vec![31], vec![16, 4], vec![129, 65], vec![3, 3, 3, 7], vec![100_003]] {
            assert_agree_within(1e-6, &ParameterCase { objectives, shape });
        }
    }
}

/// Ten million equal products: an f32 sum would be off in the third digit.
#[test]
fn gram_is_accumulated_in_f64() {
    use fairhuman_engine::Backend;
    let cpu = &super::CPUS[1];
    let count = 10_000_000;
    let grads = cpu.tensor(&[1, count], &vec![0.1; count]);
    let expected = f64::from(0.1_f32).powi(2) * count as f64;
    for found in [cpu.gram(&[&grads])[0], cpu.norm(&[&grads]).powi(2)] {
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} instead of {expected}");
    }
}
