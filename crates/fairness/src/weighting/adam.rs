//! Adam (Kingma and Ba, ICLR 2015, algorithm 1) for the one number per objective that some weightings learn.
//! Each objective has its own count of steps, so that one that is absent is left as it is.

use super::State;
use crate::WeightingError;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// The changes of the numbers for a step against their gradients; 0 where there is none. The moments are kept
/// in the state.
pub(super) fn adam(
    gradients: &[Option<f64>],
    learning_rate: f64,
    state: &mut State,
) -> Result<Vec<f64>, WeightingError> {
    let k = gradients.len();
    let mut first = state.list("adam.first", k, 0.0)?;
    let mut second = state.list("adam.second", k, 0.0)?;
    let mut steps = state.list("adam.steps", k, 0.0)?;
    let mut changes = vec![0.0; k];
    for (i, gradient) in gradients.iter().enumerate() {
        let Some(gradient) = gradient else {
            continue;
        };
        steps[i] += 1.0;
        first[i] = BETA1 * first[i] + (1.0 - BETA1) * gradient;
        second[i] = BETA2 * second[i] + (1.0 - BETA2) * gradient * gradient;
        let mean = first[i] / (1.0 - libm::pow(BETA1, steps[i]));
        let square = second[i] / (1.0 - libm::pow(BETA2, steps[i]));
        changes[i] = -learning_rate * mean / (square.sqrt() + EPS);
    }
    state.set("adam.first", first);
    state.set("adam.second", second);
    state.set("adam.steps", steps);
    Ok(changes)
}
