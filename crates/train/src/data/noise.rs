//! Time steps and diffusion noise from position.

use fairhuman_diffusion::schedule::NoiseSchedule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::random::{Purpose, below, normal, stream, unit};

/// Distribution of the time steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Timesteps {
    /// All alike.
    #[default]
    Uniform,
    /// t = (1 - u^3) T for u uniform in [0, 1): mostly noisy ones (Mou et al. 2023, section 3.4).
    Cubic,
}

/// Noisy latents and what the network should say about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Noised {
    /// zt.
    pub noisy: Vec<f32>,
    /// y.
    pub target: Vec<f32>,
}

/// zt and y at time step `t` for clean latents z0 and noise eps.
pub fn noised(schedule: &NoiseSchedule, clean: &[f32], noise: &[f32], t: usize) -> Noised {
    let mix = |(a, b): (f64, f64)| -> Vec<f32> {
        let pairs = clean.iter().zip(noise);
        pairs.map(|(&z, &e)| (a * f64::from(z) + b * f64::from(e)) as f32).collect()
    };
    Noised { noisy: mix(schedule.noising(t)), target: mix(schedule.target(t)) }
}

/// The time step of a slot, of all `steps`.
pub(super) fn timestep(how: Timesteps, seed: u64, step: u64, slot: u64, steps: usize) -> usize {
    let mut random = stream(seed, Purpose::Timestep, step, slot);
    match how {
        Timesteps::Uniform => below(&mut random, steps),
        Timesteps::Cubic => (((1.0 - unit(&mut random).powi(3)) * steps as f64) as usize).min(steps - 1),
    }
}

/// The noise of a slot.
pub(super) fn of_step(seed: u64, step: u64, slot: u64, count: usize) -> Vec<f32> {
    normal(&mut stream(seed, Purpose::Noise, step, slot), count)
}

/// The noise of a held-out sample's draw.
pub(super) fn of_validation(seed: u64, sample: u64, draw: u64, count: usize) -> Vec<f32> {
    normal(&mut stream(seed, Purpose::ValidationNoise, sample, draw), count)
}

/// The time step of draw `j` of `draws` for the sample at `position` of `samples`: all pairs together lie
/// evenly in `0..steps`, and so do the draws of one sample.
pub(super) fn spread(position: usize, samples: usize, j: usize, draws: usize, steps: usize) -> usize {
    let at = (j as f64 + (position as f64 + 0.5) / samples as f64) / draws as f64;
    ((at * steps as f64) as usize).min(steps - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_time_steps_lie_evenly() {
        let mut all: Vec<usize> =
            (0..5).flat_map(|p| (0..2).map(move |j| spread(p, 5, j, 2, 1000))).collect();
        all.sort_unstable();
        assert_eq!(all, [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]);
        assert_eq!(spread(0, 1, 0, 1, 1), 0);
    }

    #[test]
    fn time_steps_reach_both_ends() {
        let drawn: Vec<usize> = (0..400).map(|slot| timestep(Timesteps::Uniform, 1, 1, slot, 10)).collect();
        assert!((0..10).all(|t| drawn.contains(&t)));
        assert!(drawn.iter().all(|&t| t < 10));
    }

    /// The mean of 1 - u^3 is 3/4, and P(t >= 900) = P(u^3 <= 0.1).
    #[test]
    fn cubic_time_steps_are_mostly_noisy() {
        let drawn: Vec<usize> =
            (0..20_000).map(|slot| timestep(Timesteps::Cubic, 1, 1, slot, 1000)).collect();
        let mean = drawn.iter().sum::<usize>() as f64 / drawn.len() as f64;
        assert!((mean - 749.5).abs() < 6.0, "{mean}");
        let late = drawn.iter().filter(|&&t| t >= 900).count() as f64 / drawn.len() as f64;
        assert!((late - 0.1f64.cbrt()).abs() < 0.01, "{late}");
        assert!(drawn.iter().all(|&t| t < 1000));
    }
}
