//! Nash-MTL: the Nash bargaining solution between the objectives, `A w = 1/w` (Navon, Shamsian, Achituve,
//! Maron, Kawaguchi, Chechik and Fetaya, *Multi-Task Learning as a Bargaining Game*, ICML 2022, arXiv
//! 2202.01017, equation 3). It is alpha-fair with alpha = 1, and solved as exactly; the authors' code
//! iterates convex programmes, which may not converge.
//!
//! With `max_norm` the weights are those of the authors' code: of `A / |A|` with the Frobenius norm, so that
//! they do not change with the size of the gradients, and then shortened so that the direction is not longer
//! than `max_norm` (1 there).

use serde::{Deserialize, Serialize};

use super::check::check_within;
use super::{GramWeighting, Needs, Observation, State};
use crate::{Solution, WeightingError};

/// Nash-MTL; the same weights as alpha-fair ones with alpha = 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nash {
    /// The largest norm of the direction `sum_i w_i g_i`, with the weights of the authors' code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f64>,
}

impl GramWeighting for Nash {
    fn needs(&self) -> Needs {
        Needs::GRAM
    }

    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        self.max_norm.map_or(Ok(()), |norm| check_within("max_norm", norm, 1e-12, 1e12))
    }

    fn label(&self) -> String {
        match self.max_norm {
            None => "Nash-MTL".into(),
            Some(norm) => format!("Nash-MTL (norm up to {norm})"),
        }
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let solution = crate::solve(seen.gram, 1.0)?;
        let Some(max_norm) = self.max_norm else {
            return Ok(solution);
        };
        let present = seen.gram.present();
        // (A / |A|) v = 1/v has the solution v = w sqrt(|A|). Two square roots, as the elements may be large.
        let largest = present.iter().map(|&i| seen.gram.at(i, i)).fold(0.0, f64::max);
        let pairs = present.iter().flat_map(|&i| present.iter().map(move |&j| seen.gram.at(i, j)));
        let frobenius = pairs.map(|a| (a / largest).powi(2)).sum::<f64>().sqrt();
        let mut scale = frobenius.sqrt() * largest.sqrt();
        let products = solution.weights.iter().zip(&solution.rates).map(|(w, rate)| w * rate);
        let length = scale * products.sum::<f64>().max(0.0).sqrt();
        if length > max_norm {
            scale *= max_norm / length;
        }
        let weights: Vec<f64> = solution.weights.iter().map(|w| w * scale).collect();
        let Solution { outcome, iterations, residual, .. } = solution;
        Ok(Solution { outcome, iterations, residual, ..Solution::given(seen.gram, &weights, 1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gram;

    #[test]
    fn max_norm_shortens_the_direction_and_does_not_turn_it() {
        let gram = Gram::new(["a", "b"], vec![1.0, -1.0, -1.0, 4.0]).unwrap();
        let seen = Observation { gram: &gram, losses: &[1.0; 2], seed: 0, step: 1 };
        let weigh = |max_norm| Nash { max_norm }.weigh(&seen, &mut State::default()).unwrap();
        let plain = weigh(None).weights;
        assert!((plain[0] - 2f64.sqrt()).abs() < 1e-12 && (plain[1] - 0.5f64.sqrt()).abs() < 1e-12);
        // The Frobenius norm is sqrt(19), and w'Aw = 2.
        for (max_norm, length) in [(0.5, 0.5), (1e3, 19f64.powf(0.25) * 2f64.sqrt())] {
            let found = weigh(Some(max_norm));
            let norm: f64 = found.weights.iter().zip(&found.rates).map(|(w, r)| w * r).sum::<f64>().sqrt();
            assert!((norm - length).abs() < 1e-12, "{norm}");
            assert!((found.weights[0] / found.weights[1] - 2.0).abs() < 1e-12);
        }
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Nash { max_norm: Some(bad) }.validate(2).is_err());
        }
    }
}
