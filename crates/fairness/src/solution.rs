//! The result of a weighting: weights, rates, and how they were found, for logs.

use serde::{Deserialize, Serialize};

use crate::Gram;

/// Weights of K objectives, with the evidence of how they came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    /// K weights, finite, 0 for absent objectives. Not yet times [`Solution::factor`]. Only
    /// [`crate::weighting::ImtlG`] and [`crate::weighting::AlignedMtl`] give negative ones.
    pub weights: Vec<f64>,
    /// Factor of the direction before clipping and the optimiser, as the method defines it: K for alpha-fair
    /// weights, absent objectives included, so that a step is about as long as one on the sum of the losses;
    /// the number of present objectives for methods whose weights make a mean of the gradients; 1 for weights
    /// of the losses themselves.
    pub factor: f64,
    /// K rates `(A w)_i = g_i . d`: how fast each loss falls along the direction d. 0 when absent.
    pub rates: Vec<f64>,
    /// K flags: true for objectives with a zero gradient and for those declared absent.
    pub absent: Vec<bool>,
    /// The method that found the weights.
    pub outcome: Outcome,
    /// Newton (or active-set) iterations; 0 where the weights are given in closed form.
    pub iterations: usize,
    /// Largest `|(A w)_i - w_i^(-1/alpha)|` relative to the terms of that equation (of the ridged
    /// matrix in a conflict).
    pub residual: f64,
}

/// The method that found the weights of a [`Solution`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// The weights solve the equation of the chosen weighting.
    Fair,
    /// Gradients oppose each other: a convex combination of the unit gradients of present objectives
    /// has norm `norm`, zero up to rounding (below [`crate::CONFLICT_NORM`]; more only where f64
    /// cannot solve the system without a ridge). No direction lowers
    /// all losses, and the fair weights would be infinite. The weights are those of
    /// `A + ridge * diag(A)`.
    Conflict {
        /// The ridge, relative to each squared gradient norm: [`crate::RIDGE`], or 1e-3 or 1
        /// where that was not enough to solve the system in f64.
        ridge: f64,
        /// Norm of the vanishing combination.
        norm: f64,
    },
    /// No objective is present: all weights are 0 and there is nothing to step along.
    AllAbsent,
    /// The solver reached its limit of iterations with every ridge; the weights only make the gradients
    /// equally long. Seen twice in 900,000 random matrices made to be hard: about 30 objectives, norms over
    /// twelve orders of magnitude, alpha = 0.03.
    Stalled,
}

impl Solution {
    /// The solution with these K weights, 0 where absent.
    pub fn given(gram: &Gram, weights: &[f64], factor: f64) -> Solution {
        let absent = gram.absent().to_vec();
        let weights: Vec<f64> =
            weights.iter().zip(&absent).map(|(&w, &gone)| if gone { 0.0 } else { w }).collect();
        let outcome = match absent.iter().all(|&gone| gone) {
            true => Outcome::AllAbsent,
            false => Outcome::Fair,
        };
        let rates = gram.rates(&weights);
        Solution { rates, weights, factor, absent, outcome, iterations: 0, residual: 0.0 }
    }

    /// The same weights, reported as those of a conflict where unit gradients have a vanishing combination,
    /// whose norm `opposed` is.
    pub(crate) fn with_conflict(self, opposed: Option<f64>, ridge: f64) -> Solution {
        match opposed {
            Some(norm) => Solution { outcome: Outcome::Conflict { ridge, norm }, ..self },
            None => self,
        }
    }

    /// The K coefficients of the gradients in the parameters' gradient: the weights times the factor.
    pub fn combination(&self) -> Vec<f64> {
        self.weights.iter().map(|w| self.factor * w).collect()
    }
}
