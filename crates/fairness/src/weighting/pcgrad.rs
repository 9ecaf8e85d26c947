//! PCGrad: from each gradient the parts that point against the others are removed (Yu, Kumar, Gupta, Levine,
//! Hausman and Finn, *Gradient Surgery for Multi-Task Learning*, NeurIPS 2020, arXiv 2001.06782, algorithm
//! 1).
//!
//! Every projected gradient is a combination of the original ones, so that their products suffice. The orders
//! in which a gradient meets the others are random: a function of seed and step.

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::linalg::row_product;
use crate::random::orders;
use crate::{Solution, WeightingError};

/// The sum of the gradients, each without its conflicts with the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcGrad {}

impl GramWeighting for PcGrad {
    fn needs(&self) -> Needs {
        Needs::GRAM
    }

    fn label(&self) -> String {
        "PCGrad".into()
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let gram = seen.gram;
        let mut weights = vec![0.0; gram.k()];
        for (i, order) in orders(seen.seed, seen.step, gram.k()).into_iter().enumerate() {
            if gram.absent()[i] {
                continue;
            }
            let mut own = vec![0.0; gram.k()];
            own[i] = 1.0;
            for j in order.into_iter().filter(|&j| j != i && !gram.absent()[j]) {
                let product = row_product(gram.values(), &own, j);
                if product < 0.0 {
                    own[j] -= product / gram.at(j, j);
                }
            }
            weights.iter_mut().zip(own).for_each(|(w, own)| *w += own);
        }
        Ok(Solution::given(gram, &weights, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gram;

    #[test]
    fn the_mean_over_steps_is_that_over_all_orders() {
        let values = vec![1.0, -0.3, 0.2, -0.3, 0.5, -0.4, 0.2, -0.4, 0.8];
        let gram = Gram::new(["a", "b", "c"], values).unwrap();
        let mut mean = [0.0; 3];
        for step in 1..=8000 {
            let seen = Observation { gram: &gram, losses: &[1.0; 3], seed: 1, step };
            let weights = PcGrad {}.weigh(&seen, &mut State::default()).unwrap().weights;
            mean.iter_mut().zip(weights).for_each(|(m, w)| *m += w / 8000.0);
        }
        // The mean of the eight combinations of orders, exact.
        for (mean, exact) in mean.into_iter().zip([1.27, 2.4, 1.4875]) {
            assert!((mean - exact).abs() < 5e-3, "{mean}, not {exact}");
        }
    }

    #[test]
    fn two_objectives_in_conflict_lose_their_common_part() {
        let gram = Gram::new(["a", "b"], vec![1.0, -1.0, -1.0, 4.0]).unwrap();
        let seen = Observation { gram: &gram, losses: &[1.0; 2], seed: 1, step: 1 };
        assert_eq!(PcGrad {}.weigh(&seen, &mut State::default()).unwrap().weights, [2.0, 1.25]);
    }
}
