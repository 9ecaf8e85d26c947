//! Sampling trajectories: the levels of noise that a sampler's steps visit.

use super::{Sampler, Spacing, TimestepSpacing};
use crate::schedule::{NoiseSchedule, Prediction};

/// A level of noise: x = signal * z0 + noise * eps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The network's time step; between two of training where the spacing is continuous.
    pub timestep: f64,
    /// Coefficient of the clean latents; 1 at the end.
    pub signal: f64,
    /// Coefficient of the noise; 0 at the end.
    pub noise: f64,
}

impl Level {
    /// Noise to signal.
    pub fn sigma(&self) -> f64 {
        self.noise / self.signal
    }

    fn of_abar(timestep: f64, abar: f64) -> Self {
        Self { timestep, signal: abar.sqrt(), noise: (1.0 - abar).sqrt() }
    }

    fn of_sigma(timestep: f64, sigma: f64) -> Self {
        let signal = 1.0 / (sigma * sigma + 1.0).sqrt();
        Self { timestep, signal, noise: sigma * signal }
    }

    /// Coefficients (of x, of the prediction) in the clean latents that a prediction implies.
    pub fn clean(&self, prediction: Prediction) -> (f64, f64) {
        match prediction {
            Prediction::Epsilon => (1.0 / self.signal, -self.noise / self.signal),
            Prediction::Velocity => (self.signal, -self.noise),
            Prediction::Sample => (0.0, 1.0),
        }
    }
}

/// One step of a sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Where it starts.
    pub from: Level,
    /// Where it ends: less noise.
    pub to: Level,
}

impl Step {
    /// Its length in ln(signal / noise); infinite where it ends without noise.
    pub fn h(&self) -> f64 {
        self.from.sigma().ln() - self.to.sigma().ln()
    }
}

/// All steps of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    /// From noise to clean.
    pub steps: Vec<Step>,
    /// Standard deviation of the initial x.
    pub initial: f64,
}

/// Why there is no such trajectory.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SamplerError {
    /// No steps, or more than the spacing has time steps for.
    #[error("{found} steps of {sampler}: expected 1 to {most} with this model's scheduler settings")]
    Steps {
        /// The sampler.
        sampler: Sampler,
        /// Steps that were asked for.
        found: usize,
        /// Steps that there can be.
        most: usize,
    },
    /// A noise prediction where there is no signal.
    #[error(
        "the model predicts noise, but its schedule has no signal at time step {0} (zero terminal SNR): sampling cannot start there; sample with \"timestep_spacing\": \"leading\" in scheduler_config.json"
    )]
    ZeroSignal(usize),
    /// A level without noise that is not the end.
    #[error(
        "the schedule has no noise at time step {0}: nothing could be removed there; are the betas in scheduler_config.json right?"
    )]
    NoNoise(usize),
    /// DDIM is to clip clean latents.
    #[error(
        "scheduler_config.json says \"clip_sample\": true, which is not supported for ddim; choose another sampler, or set it to false"
    )]
    Clips,
}

impl Trajectory {
    /// The steps of `sampler` through `schedule`, as the scheduler in diffusers makes them.
    ///
    /// # Errors
    /// See [`SamplerError`].
    pub fn new(
        sampler: Sampler,
        steps: usize,
        schedule: &NoiseSchedule,
        spacing: &Spacing,
    ) -> Result<Self, SamplerError> {
        let total = schedule.steps();
        let timesteps = |count| timesteps(sampler, count, total, spacing);
        if steps > total || !visitable(&timesteps(steps), total) {
            let most = (1..=total).rev().find(|&count| visitable(&timesteps(count), total));
            return Err(SamplerError::Steps { sampler, found: steps, most: most.unwrap_or(0) });
        }
        let timesteps = timesteps(steps);
        let trajectory = match sampler {
            Sampler::Ddim if spacing.ddim_clips => return Err(SamplerError::Clips),
            Sampler::Ddim => ddim(&timesteps, schedule, spacing),
            _ => by_sigma(sampler, &timesteps, schedule, spacing),
        };
        for Step { from, .. } in &trajectory.steps {
            if from.signal == 0.0 && schedule.prediction() == Prediction::Epsilon {
                return Err(SamplerError::ZeroSignal(from.timestep as usize));
            }
            if from.noise == 0.0 {
                return Err(SamplerError::NoNoise(from.timestep as usize));
            }
        }
        Ok(trajectory)
    }
}

/// Steps between the levels of their own time steps, by interpolated sigma.
fn by_sigma(sampler: Sampler, timesteps: &[f64], schedule: &NoiseSchedule, spacing: &Spacing) -> Trajectory {
    let sigma = |t: usize| {
        let abar = schedule.alphas_cumprod()[t];
        // Where there is no signal, diffusers puts this in place of it.
        let abar = if abar == 0.0 { 2f64.powi(-24) } else { abar };
        ((1.0 - abar) / abar).sqrt()
    };
    let mut levels: Vec<Level> = timesteps
        .iter()
        .map(|&t| {
            let (low, high) = (t.floor() as usize, t.ceil() as usize);
            Level::of_sigma(t, sigma(low) + (t - low as f64) * (sigma(high) - sigma(low)))
        })
        .collect();
    if spacing.karras && sampler != Sampler::EulerAncestral {
        let all: Vec<f64> = (0..schedule.steps()).map(sigma).collect();
        levels = karras(sampler, &levels, &all);
    }
    let can_end_noisy = matches!(sampler, Sampler::UniPc | Sampler::DpmPp2m | Sampler::Euler);
    let last = if spacing.ends_noisy && can_end_noisy { sigma(0) } else { 0.0 };
    let initial = match (sampler, spread(sampler, spacing)) {
        (Sampler::UniPc | Sampler::DpmPp2m, _) | (_, TimestepSpacing::Leading) => 1.0,
        _ => levels.first().map_or(1.0, |first| first.noise),
    };
    levels.push(match sampler {
        // diffusers scales what Euler ends with by its signal, which matters where noise is left.
        Sampler::Euler => Level { timestep: 0.0, signal: 1.0, noise: last },
        _ => Level::of_sigma(0.0, last),
    });
    let steps = levels.windows(2).map(|pair| Step { from: pair[0], to: pair[1] }).collect();
    Trajectory { steps, initial }
}

/// As many levels between the first and the last, the seventh roots of their sigmas at equal distances
/// (Karras et al. 2022, equation 5); `all` are the sigmas of training.
fn karras(sampler: Sampler, levels: &[Level], all: &[f64]) -> Vec<Level> {
    const RHO: f64 = 7.0;
    // The multistep solvers of diffusers go from the last level of training to the first, and round their
    // time steps.
    let multistep = matches!(sampler, Sampler::UniPc | Sampler::DpmPp2m);
    let (max, min) = match (multistep, levels) {
        (false, [first, .., last]) => (first.sigma(), last.sigma()),
        (false, _) => (levels[0].sigma(), levels[0].sigma()),
        (true, _) => (all[all.len() - 1], all[0]),
    };
    let (from, to) = (max.powf(1.0 / RHO), min.powf(1.0 / RHO));
    let parts = levels.len().saturating_sub(1).max(1) as f64;
    let level = |i: usize| {
        let sigma = (from + i as f64 / parts * (to - from)).powf(RHO);
        let timestep = timestep_of(sigma, all);
        Level::of_sigma(if multistep { timestep.round_ties_even() } else { timestep }, sigma)
    };
    (0..levels.len()).map(level).collect()
}

/// Where between the time steps of training a sigma lies, by its logarithm.
fn timestep_of(sigma: f64, all: &[f64]) -> f64 {
    let low = all.partition_point(|&s| s <= sigma).saturating_sub(1).min(all.len().saturating_sub(2));
    let Some(high) = all.get(low + 1) else { return low as f64 };
    low as f64 + ((sigma / all[low]).ln() / (high / all[low]).ln()).clamp(0.0, 1.0)
}

/// DDIM's steps have all the same length in time, whatever the spacing: a step may end a little beside the
/// next one's start.
fn ddim(timesteps: &[f64], schedule: &NoiseSchedule, spacing: &Spacing) -> Trajectory {
    let abar = |t: usize| schedule.alphas_cumprod()[t];
    let length = schedule.steps() / timesteps.len();
    let end = if spacing.ddim_ends_noisy { abar(0) } else { 1.0 };
    let step = |&t: &f64| {
        let to = (t as usize).checked_sub(length).map_or(end, abar);
        Step { from: Level::of_abar(t, abar(t as usize)), to: Level::of_abar(t - length as f64, to) }
    };
    Trajectory { steps: timesteps.iter().map(step).collect(), initial: 1.0 }
}

fn spread(sampler: Sampler, spacing: &Spacing) -> TimestepSpacing {
    spacing.timesteps.unwrap_or(match sampler {
        Sampler::Ddim => TimestepSpacing::Leading,
        _ => TimestepSpacing::Linspace,
    })
}

/// True if these are time steps of training, each below the one before.
fn visitable(timesteps: &[f64], total: usize) -> bool {
    let inside = |t: &f64| (0.0..total as f64).contains(t);
    !timesteps.is_empty() && timesteps.iter().all(inside) && timesteps.windows(2).all(|t| t[1] < t[0])
}

/// The time steps that are visited, from the noisiest on.
fn timesteps(sampler: Sampler, count: usize, total: usize, spacing: &Spacing) -> Vec<f64> {
    // The multistep solvers of diffusers count the end as one more time step, and leave it out.
    let more = usize::from(matches!(sampler, Sampler::UniPc | Sampler::DpmPp2m));
    let backwards = (more..count + more).rev();
    match spread(sampler, spacing) {
        TimestepSpacing::Leading => {
            let distance = total / (count + more).max(1);
            backwards.map(|i| (i * distance + spacing.offset) as f64).collect()
        }
        TimestepSpacing::Trailing => {
            let distance = total as f64 / count as f64;
            (0..count).map(|i| (total as f64 - i as f64 * distance).round_ties_even() - 1.0).collect()
        }
        TimestepSpacing::Linspace => {
            let (last, parts) = ((total - 1) as f64, (count + more).saturating_sub(1).max(1));
            let distance = last / parts as f64;
            // In this order, because halves are rounded below; the product may miss the last step by a
            // rounding.
            let exact = backwards.map(|i| if i == parts { last } else { i as f64 * distance });
            match sampler {
                Sampler::UniPc | Sampler::DpmPp2m | Sampler::Ddim => {
                    exact.map(f64::round_ties_even).collect()
                }
                _ => exact.collect(),
            }
        }
    }
}
