//! Averages of the losses over steps, for the weightings that read losses.
//!
//! In diffusion the loss of one batch follows its time steps: it varies several-fold from step to step while
//! progress is a few per cent. A weight such as `1 / l` would follow the time step. Exponential moving
//! averages with a long memory follow progress; `loss_decay = 0` gives the losses of the step alone, as in
//! the papers.

use super::{Observation, State};
use crate::WeightingError;

/// The default of `loss_decay`: a memory of about 50 steps.
pub(super) fn loss_decay() -> f64 {
    0.98
}

/// Refuses losses of present objectives that methods with ratios and logarithms cannot use.
pub(super) fn check_losses(seen: &Observation<'_>) -> Result<(), WeightingError> {
    for i in seen.gram.present() {
        let value = seen.losses[i];
        if !(1e-120..=1e120).contains(&value) {
            return Err(WeightingError::Loss { objective: seen.gram.names()[i].clone(), value });
        }
    }
    Ok(())
}

/// Bias-corrected moving averages, one for each objective; 1 before its first loss.
pub(super) struct Averages {
    /// The averages before this step; none for an objective without a loss so far.
    pub before: Vec<Option<f64>>,
    /// The averages with this step. Those of absent objectives are as they were.
    pub now: Vec<f64>,
}

impl Averages {
    /// Adds the losses of a step to the averages in the state.
    pub(super) fn update(
        decay: f64,
        seen: &Observation<'_>,
        state: &mut State,
    ) -> Result<Averages, WeightingError> {
        check_losses(seen)?;
        let k = seen.gram.k();
        let mut now = state.list("average", k, 1.0)?;
        // The sum of the weights of all losses so far, which tends to 1.
        let mut mass = state.list("average.mass", k, 0.0)?;
        let known = now.iter().zip(&mass);
        let before = known.map(|(&average, &mass)| (mass > 0.0).then_some(average)).collect();
        for i in seen.gram.present() {
            mass[i] = decay * mass[i] + (1.0 - decay);
            let share = (1.0 - decay) / mass[i];
            // The first loss has the share 1, and is then the average itself.
            now[i] = if share == 1.0 { seen.losses[i] } else { now[i] + share * (seen.losses[i] - now[i]) };
        }
        state.set("average", now.clone());
        state.set("average.mass", mass);
        Ok(Averages { before, now })
    }
}

/// Means of the first losses of each objective, up to a number of them.
pub(super) struct FirstMeans {
    /// The means so far; 1 before the first loss.
    pub means: Vec<f64>,
    /// True once the number is reached.
    pub complete: Vec<bool>,
}

impl FirstMeans {
    /// Adds the losses of a step where the number is not reached, after the means were read.
    pub(super) fn read_and_update(
        number: u32,
        seen: &Observation<'_>,
        state: &mut State,
    ) -> Result<FirstMeans, WeightingError> {
        check_losses(seen)?;
        let k = seen.gram.k();
        let mut sums = state.list("first.sum", k, 0.0)?;
        let mut counts = state.list("first.count", k, 0.0)?;
        let pairs = || sums.iter().zip(&counts);
        let means = pairs().map(|(sum, count)| if *count > 0.0 { sum / count } else { 1.0 }).collect();
        let complete = counts.iter().map(|&count| count >= f64::from(number)).collect();
        for i in seen.gram.present() {
            if counts[i] < f64::from(number) {
                sums[i] += seen.losses[i];
                counts[i] += 1.0;
            }
        }
        state.set("first.sum", sums);
        state.set("first.count", counts);
        Ok(FirstMeans { means, complete })
    }
}
