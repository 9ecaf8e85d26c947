//! Random loss weighting: `w = softmax(x)` with `x ~ N(0, 1)`, drawn anew in every step (Lin, Ye, Zhang and
//! Tsang, *Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task Learning*, TMLR 2022,
//! arXiv 2111.10603, algorithm 2 with the normal distribution). A baseline: a method that balances objectives
//! should beat it.
//!
//! The softmax is over the objectives that are present, and the factor is their number (the paper's weights
//! sum to 1): each counts 1 on average, as in the plain sum, and an objective that is alone in a step counts
//! exactly 1.

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::random::normals;
use crate::{Solution, WeightingError};

/// Random weights, a function of seed and step alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlw {}

impl GramWeighting for Rlw {
    fn needs(&self) -> Needs {
        Needs::NOTHING
    }

    fn label(&self) -> String {
        "random weights".into()
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let draws = normals(seen.seed, seen.step, seen.gram.k());
        // A normal draw is at most 9 in size: no overflow.
        let powers = draws.into_iter().zip(seen.gram.absent());
        let powers: Vec<f64> = powers.map(|(x, &absent)| if absent { 0.0 } else { libm::exp(x) }).collect();
        let total: f64 = powers.iter().sum();
        let present = powers.iter().filter(|&&p| p > 0.0).count();
        let weights: Vec<f64> = powers.iter().map(|p| if total > 0.0 { p / total } else { 0.0 }).collect();
        Ok(Solution::given(seen.gram, &weights, present as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gram;

    fn draw(seed: u64, step: u64, absent: [bool; 3]) -> Solution {
        let values = vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let gram = Gram::new(["a", "b", "c"], values).and_then(|gram| gram.with_absent(&absent)).unwrap();
        let seen = Observation { gram: &gram, losses: &[1.0; 3], seed, step };
        Rlw {}.weigh(&seen, &mut State::default()).unwrap()
    }

    #[test]
    fn every_present_objective_counts_1_on_average() {
        for absent in [[false; 3], [false, true, false]] {
            let steps = 20_000;
            let mut mean = [0.0; 3];
            for step in 1..=steps {
                let solution = draw(3, step, absent);
                assert!((solution.weights.iter().sum::<f64>() - 1.0).abs() < 1e-14);
                let counts = solution.combination();
                mean.iter_mut().zip(counts).for_each(|(m, c)| *m += c / steps as f64);
            }
            for (mean, absent) in mean.into_iter().zip(absent) {
                assert!(if absent { mean == 0.0 } else { (mean - 1.0).abs() < 0.02 }, "{mean}");
            }
        }
        assert_eq!(draw(3, 1, [true, true, false]).combination(), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn seed_and_step_alone_choose_the_weights() {
        let here = draw(1, 2, [false; 3]).weights;
        assert_eq!(here, draw(1, 2, [false; 3]).weights);
        assert_ne!(here, draw(2, 2, [false; 3]).weights);
        assert_ne!(here, draw(1, 3, [false; 3]).weights);
        assert_ne!(here, draw(2, 1, [false; 3]).weights);
    }
}
