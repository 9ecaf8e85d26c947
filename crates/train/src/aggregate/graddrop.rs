//! GradDrop (Chen, Ngiam, Huang, Luong, Kretzschmar, Chai and Anguelov, *Just Pick a Sign*, NeurIPS 2020,
//! arXiv 2010.06808, algorithm 1): every element of the gradient keeps either the positive or the negative
//! parts of the objectives' gradients, never both.
//!
//! With `P = (1 + sum_i g_i / sum_i |g_i|) / 2` and `u` uniform in [0, 1), an element becomes the sum of its
//! positive parts where `P > u`, and of its negative parts elsewhere. On average that is the plain sum's
//! sign, without the pull of objectives that disagree. `u` is a function of (seed, step, element).

use fairhuman_engine::Backend;
use fairhuman_fairness::State;
use rand_chacha::rand_core::RngCore;
use serde::{Deserialize, Serialize};

use super::{Aggregator, Seen};
use crate::module::PassContext;
use crate::random::{Purpose, stream};

/// `weighting = { kind = "graddrop" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "graddrop", deny_unknown_fields)]
pub struct GradDrop {}

impl GradDrop {
    /// Its name in recipes.
    pub const KIND: &'static str = "graddrop";
}

impl<B: Backend> Aggregator<B> for GradDrop {
    fn aggregate(
        &self,
        context: &PassContext<'_, B>,
        seen: &Seen<'_, B>,
        _: &mut State,
    ) -> Result<Vec<Option<B::Tensor>>, String> {
        let (backend, grads) = (context.backend, &seen.gradients.grads);
        let tensors: Vec<&B::Tensor> = grads.iter().flatten().collect();
        let mut read = backend.read_many(&tensors).into_iter();
        let combined = grads.iter().enumerate().map(|(index, grad)| {
            let (grad, values) = (grad?, read.next()?);
            let shape = &B::shape(grad)[1..];
            let mut rng = stream(seen.seed, Purpose::GradDrop, seen.step, index as u64);
            let uniform = || (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
            Some(backend.tensor(shape, &drop_signs(&values, grads.objectives(), uniform)))
        });
        Ok(combined.collect())
    }
}

/// The elements of `[K, P]` gradients combined to `[P]`.
fn drop_signs(grads: &[f32], objectives: usize, mut uniform: impl FnMut() -> f64) -> Vec<f32> {
    let elements = grads.len() / objectives.max(1);
    let element = |p: usize| {
        let (mut positive, mut negative) = (0.0, 0.0);
        for g in grads[p..].iter().step_by(elements) {
            let g = f64::from(*g);
            *(if g > 0.0 { &mut positive } else { &mut negative }) += g;
        }
        // P = (1 + (positive + negative) / (positive - negative)) / 2
        let total: f64 = positive - negative;
        let keep_positive = total > 0.0 && positive / total > uniform();
        (if keep_positive { positive } else { negative }) as f32
    };
    (0..elements).map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_keeps_the_parts_of_one_sign() {
        // Elements: agreement, disagreement 3 : 1, nothing, all negative.
        let grads = [1.0, 3.0, 0.0, -1.0, 2.0, -1.0, 0.0, -0.5];
        assert_eq!(drop_signs(&grads, 2, || 0.74), [3.0, 3.0, 0.0, -1.5]);
        assert_eq!(drop_signs(&grads, 2, || 0.75), [3.0, -1.0, 0.0, -1.5]);
    }

    #[test]
    fn a_sign_is_kept_as_often_as_it_has_mass() {
        let mut rng = stream(0, Purpose::GradDrop, 1, 0);
        let mut uniform = || (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        let grads: Vec<f32> = [3.0, -1.0].iter().flat_map(|&g| [g; 20_000]).collect();
        let kept = drop_signs(&grads, 2, &mut uniform).iter().filter(|&&v| v == 3.0).count();
        assert!((kept as f64 / 20_000.0 - 0.75).abs() < 0.01, "{kept}");
    }
}
