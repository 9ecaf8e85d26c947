//! Operations on gradients and parameters.

use super::{Experiment, Results};
use crate::numbers::{noise, tensor};
use crate::updates::adamw;
use crate::{Instance, Subject};
use fairhuman_engine::{AdamW, Backend};

#[derive(Debug)]
struct ParameterCase {
    objectives: usize,
    shape: Vec<usize>,
}

impl Experiment for ParameterCase {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let b = on.backend;
        let k = self.objectives;
        let grads = tensor(b, 1, &[&[k], &self.shape[..]].concat());
        let mut results = Results::default();
        results.0.push(("Gram matrix", vec![k, k], b.gram(&[&grads])));
        results.0.push(("norm", vec![], vec![b.norm(&[&grads])]));
        let coefficients: Vec<f64> = noise(2, k).into_iter().map(f64::from).collect();
        let combined = b.combine(&[&grads], &coefficients).remove(0);
        results.push(on, "combination", &combined);

        let count = self.shape.iter().product();
        let second: Vec<_> = noise(5, count).iter().map(|v| v * v).collect();
        let mut state =
            [tensor(b, 3, &self.shape), tensor(b, 4, &self.shape), b.tensor(&self.shape, &second)];
        for step in [1, 2, 1000] {
            let constants = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2, step };
            let kept = state.clone();
            state = adamw(b, state, &combined, 0.37, &constants);
            for (name, tensor) in ["parameter", "first moment", "second moment"].into_iter().zip(&state) {
                results.push(on, name, tensor);
            }
            results.push(on, "kept parameter", &kept[0]);
        }
        results
    }
}

/// Numbers of objectives and values around the parts of sums.
pub fn every_size_of_parameter<B: Backend>(subject: &Subject<B>) {
    for objectives in [1, 2, 3, 5] {
        for shape in [vec![1], vec![31], vec![16, 4], vec![129, 65], vec![3, 3, 3, 7], vec![100_003]] {
            subject.assert_agrees_within(subject.tolerances.sums, &ParameterCase { objectives, shape });
        }
    }
}

/// Ten million equal products: an f32 sum would be off in the third digit.
pub fn gram_is_accumulated_in_f64<B: Backend>(subject: &Subject<B>) {
    let count = 10_000_000;
    let expected = f64::from(0.1_f32).powi(2) * count as f64;
    for on in subject.instances() {
        let grads = on.backend.tensor(&[1, count], &vec![0.1; count]);
        for found in [on.backend.gram(&[&grads])[0], on.backend.norm(&[&grads]).powi(2)] {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found} instead of {expected}");
        }
    }
}
