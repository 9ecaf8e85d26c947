//! Aligned-MTL: the system of gradients is made orthogonal with equal lengths (Senushkin, Patakin, Kuznetsov
//! and Konushin, *Independent Component Alignment for Multi-Task Learning*, CVPR 2023, arXiv 2305.19000,
//! algorithm 1). With `A = V L V'` the weights are `sqrt(s) V L^(-1/2) V' (1/K)`, where s is the smallest
//! eigenvalue (the paper) or their mean ("rmse" in the authors' code). Weights may be negative.
//!
//! Eigenvalues up to `K * 2^-23` of the largest are left out, as in the authors' code, which computes in f32:
//! below that, f32 gradients hold nothing but rounding. An objective whose gradient is more than a few
//! thousand times shorter than another's therefore has next to no weight.

use serde::{Deserialize, Serialize};

use super::{GramWeighting, Needs, Observation, State};
use crate::linalg::eigen;
use crate::{Solution, WeightingError};

/// The mean of the gradients after they are made orthogonal and equally long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignedMtl {
    /// The common length.
    #[serde(default)]
    pub scale: AlignedScale,
}

/// The common length of the gradients that [`AlignedMtl`] makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlignedScale {
    /// The square root of the smallest eigenvalue that is not left out.
    #[default]
    Min,
    /// The square root of the mean of the eigenvalues that are not left out.
    Rmse,
}

impl GramWeighting for AlignedMtl {
    fn needs(&self) -> Needs {
        Needs::GRAM
    }

    fn label(&self) -> String {
        match self.scale {
            AlignedScale::Min => "Aligned-MTL".into(),
            AlignedScale::Rmse => "Aligned-MTL (rmse)".into(),
        }
    }

    fn weigh(&self, seen: &Observation<'_>, _state: &mut State) -> Result<Solution, WeightingError> {
        let present = seen.gram.present();
        let n = present.len();
        let pairs = present.iter().flat_map(|&i| present.iter().map(move |&j| seen.gram.at(i, j)));
        // Weights do not change with the size of A.
        let largest = present.iter().map(|&i| seen.gram.at(i, i)).fold(0.0, f64::max);
        let matrix: Vec<f64> = pairs.map(|a| a / largest).collect();
        let (values, vectors) = eigen(&matrix, n);
        let top = values.iter().copied().fold(0.0, f64::max);
        let kept: Vec<usize> =
            (0..n).filter(|&e| values[e] > n as f64 * f64::from(f32::EPSILON) * top).collect();
        let kept_values = kept.iter().map(|&e| values[e]);
        let scale = match self.scale {
            AlignedScale::Min => kept_values.fold(f64::INFINITY, f64::min),
            AlignedScale::Rmse => kept_values.sum::<f64>() / kept.len() as f64,
        };
        let mut weights = vec![0.0; seen.gram.k()];
        for e in kept {
            let column = |i: usize| vectors[i * n + e];
            let mean = (0..n).map(column).sum::<f64>() / n as f64;
            for (i, &at) in present.iter().enumerate() {
                weights[at] += (scale / values[e]).sqrt() * mean * column(i);
            }
        }
        Ok(Solution::given(seen.gram, &weights, n as f64))
    }
}
