//! The learning rate as a function of the step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form of the learning rate after its warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// It stays.
    #[default]
    Constant,
    /// A straight line to 0 at `decay_steps`.
    Linear,
    /// Half a cosine to 0 at `decay_steps` (Loshchilov and Hutter 2017, without restarts).
    Cosine,
}

/// A warm-up from 0 in a straight line, then a decay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// The form after the warm-up.
    pub decay: Decay,
    /// Steps of warm-up: step `s` of them has the share `s / warmup` of the rate.
    pub warmup: u64,
    /// The step after which a decaying rate is 0.
    pub decay_steps: u64,
}

impl Schedule {
    /// The factor of the learning rate at `step`, from 1.
    pub fn factor(&self, step: u64) -> f64 {
        if step <= self.warmup {
            return step as f64 / self.warmup as f64;
        }
        let length = self.decay_steps.saturating_sub(self.warmup).max(1);
        // The first step after the warm-up has the whole rate; the step after the last one would have 0.
        let done = ((step - self.warmup - 1) as f64 / length as f64).min(1.0);
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - done,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_to_the_whole_rate_and_decays_end_at_0() {
        for decay in [Decay::Constant, Decay::Linear, Decay::Cosine] {
            let schedule = Schedule { decay, warmup: 4, decay_steps: 14 };
            let warm: Vec<f64> = (1..=5).map(|s| schedule.factor(s)).collect();
            assert_eq!(warm, [0.25, 0.5, 0.75, 1.0, 1.0], "{decay:?}");
            let end = if decay == Decay::Constant { 1.0 } else { 0.0 };
            assert!((schedule.factor(15) - end).abs() < 1e-15, "{decay:?}");
            assert!((schedule.factor(1000) - end).abs() < 1e-15, "{decay:?}");
        }
        assert!(
            (Schedule { decay: Decay::Cosine, warmup: 0, decay_steps: 10 }.factor(6) - 0.5).abs() < 1e-15
        );
        assert!(
            (Schedule { decay: Decay::Linear, warmup: 0, decay_steps: 10 }.factor(10) - 0.1).abs() < 1e-15
        );
    }
}
