//! A step's line in the log.

use fairhuman_engine::Backend;

use crate::aggregate::Direction;
use crate::events::{Seconds, Step, StepOutcome};
use crate::gradient::{Gradients, clip_factor};
use crate::recipe::Recipe;
use crate::step_error::StepError;

/// The event of a step that was taken or refused.
pub(crate) fn step_event<B: Backend>(
    recipe: &Recipe,
    step: u64,
    samples: &[String],
    timesteps: Vec<usize>,
    learning_rate: f64,
    found: &Result<(Gradients<B>, Direction<B>), StepError>,
    seconds: Seconds,
) -> Step {
    let mut event = Step {
        step,
        outcome: StepOutcome::Updated,
        samples: samples.to_vec(),
        timesteps,
        losses: Vec::new(),
        weights: Vec::new(),
        factor: None,
        weights_of: None,
        rates: Vec::new(),
        gram: Vec::new(),
        cosines: Vec::new(),
        solve: None,
        present: Vec::new(),
        area: Vec::new(),
        grad_norm: None,
        clip: None,
        learning_rate,
        seconds,
        peak_memory_mib: None,
    };
    match found {
        Err(refused) => event.outcome = StepOutcome::Refused(refused.named(samples)),
        Ok((gradients, direction)) => {
            if gradients.present.iter().all(|&lanes| lanes == 0) {
                event.outcome = StepOutcome::AllAbsent;
            }
            event.losses = gradients.losses.clone();
            if let Some(solution) = &direction.solution {
                event.weights = solution.weights.clone();
                event.factor = Some(solution.factor);
                // Along a direction whose gradients were not made the rates are not known.
                event.rates = if direction.gram.is_empty() { Vec::new() } else { solution.rates.clone() };
                event.solve = Some(solution.outcome);
            }
            event.weights_of = direction.weights_of;
            event.gram = direction.gram.clone();
            event.cosines = direction.cosines.clone();
            event.present = gradients.present.clone();
            event.area = gradients.area.clone();
            event.grad_norm = Some(direction.norm);
            event.clip = Some(clip_factor(direction.norm, recipe.max_grad_norm));
            event.seconds.forward = gradients.forward;
            event.seconds.backward = gradients.backward;
            event.seconds.solve = direction.seconds;
        }
    }
    event
}
