//! The analytic centre: `z > 0` with `C z = 1/z` for the matrix C of cosines, or the certificate that
//! the gradients oppose each other and there is none.
//!
//! It is the symmetric matrix scaling of Khachiyan and Kalantari (1992) and the alpha = 1 solution for
//! gradients of norm 1, hence untouched by their norms. The potential `1/2 z'Cz - sum log z` is
//! self-concordant, so damped Newton converges from anywhere (Nesterov and Nemirovskii 1994, ch. 2).

use super::CONFLICT_NORM;
use crate::linalg::{row_product, solve_shifted};

/// An upper bound, so that nothing can hang; the slowest matrix seen needed about 30.
const MAX_ITERATIONS: usize = 300;

pub(crate) enum Centre {
    /// A point close to the centre (Newton decrement below 1/4).
    Found(Vec<f64>),
    /// No such point.
    Opposed,
}

/// The centre, with the norm of the last convex combination of unit gradients: within a factor K of the
/// smallest.
pub(crate) struct Search {
    pub centre: Centre,
    pub norm: f64,
    pub iterations: usize,
}

/// Damped Newton from equal z, for a row-major `n x n` matrix of cosines.
pub(crate) fn centre(cosines: &[f64], n: usize) -> Search {
    let (mut z, mut step) = (vec![1.0; n], vec![0.0; n]);
    let (mut shift, mut scratch) = (vec![0.0; n], Vec::with_capacity(n * n));
    let mut norm: f64 = 1.0;
    let opposed = |norm, iterations| Search { centre: Centre::Opposed, norm, iterations };
    for iterations in 0..MAX_ITERATIONS {
        // The radial minimum is known exactly: z'Cz = n.
        let quadratic: f64 = (0..n).map(|i| z[i] * row_product(cosines, &z, i)).sum();
        let total: f64 = z.iter().sum();
        norm = quadratic.max(0.0).sqrt() / total;
        if norm < CONFLICT_NORM {
            return opposed(norm, iterations);
        }
        let radius = (n as f64 / quadratic).sqrt();
        z.iter_mut().for_each(|v| *v *= radius);

        for i in 0..n {
            step[i] = 1.0 / z[i] - row_product(cosines, &z, i);
            shift[i] = 1.0 / (z[i] * z[i]);
        }
        let gradient = step.clone();
        if !solve_shifted(cosines, &shift, &mut scratch, &mut step) {
            return opposed(norm, iterations);
        }
        let decrement = gradient.iter().zip(&step).map(|(g, s)| g * s).sum::<f64>();
        if decrement < 1.0 / 16.0 {
            return Search { centre: Centre::Found(z), norm, iterations: iterations + 1 };
        }
        advance(cosines, &mut z, &step, decrement);
    }
    // Not reached in exact arithmetic: the potential falls by a constant in every iteration.
    opposed(norm, MAX_ITERATIONS)
}

/// The longest step that stays positive and lowers the potential by a tenth of the predicted decrease;
/// `1/(1 + lambda)` always does.
fn advance(cosines: &[f64], z: &mut [f64], step: &[f64], decrement: f64) {
    let safe = 1.0 / (1.0 + decrement.sqrt());
    let shrink = z.iter().zip(step).map(|(v, s)| -s / v).fold(0.0f64, f64::max);
    let mut length = if shrink > 0.9 { 0.9 / shrink } else { 1.0 };
    // Change of the potential along the step: exact in the quadratic part, no cancellation.
    let n = z.len();
    let slope: f64 = (0..n).map(|i| step[i] * row_product(cosines, z, i)).sum();
    let bend: f64 = (0..n).map(|i| step[i] * row_product(cosines, step, i)).sum();
    let change = |s: f64| {
        let logs: f64 = z.iter().zip(step).map(|(v, d)| (s * d / v).ln_1p()).sum();
        s * slope + 0.5 * s * s * bend - logs
    };
    while length > safe && change(length) > -0.1 * length * decrement {
        length = (0.5 * length).max(safe);
    }
    z.iter_mut().zip(step).for_each(|(v, s)| *v += length * s);
}
