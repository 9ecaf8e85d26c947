//! Samplers: from noise to clean latents in a few evaluations of the network.
//!
//! A sampler is a free function over plain numbers with one vocabulary: a [`Step`] leads from one [`Level`]
//! of noise to the next, and `denoise(x, level)` says which clean latents the network sees in `x`. Everywhere
//! x = signal * z0 + noise * eps with signal^2 + noise^2 = 1, which is what the network takes in. [`advance`]
//! follows the direction from `x` to clean latents until the next level, and every method here is a way to
//! choose those clean latents. They agree with the schedulers of diffusers 0.32.2, in whose settings solvers
//! have their defaults.
//!
//! Nothing here knows a network or draws a random number.

mod methods;
mod spacing;
mod trajectory;

use std::fmt;
use std::str::FromStr;

pub use methods::{advance, ddim, dpmpp_2m, euler, euler_ancestral, heun, unipc};
pub use spacing::{Spacing, TimestepSpacing};
pub use trajectory::{Level, SamplerError, Step, Trajectory};

/// The clean latents that the network sees in `x` at a level of noise.
pub type Denoise<'a, E> = &'a mut dyn FnMut(&[f32], Level) -> Result<Vec<f32>, E>;

/// Sampling methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampler {
    /// [`unipc`]
    #[default]
    UniPc,
    /// [`ddim`]
    Ddim,
    /// [`euler`]
    Euler,
    /// [`euler_ancestral`]
    EulerAncestral,
    /// [`dpmpp_2m`]
    DpmPp2m,
    /// [`heun`]
    Heun,
}

impl Sampler {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::UniPc, Self::Ddim, Self::Euler, Self::EulerAncestral, Self::DpmPp2m, Self::Heun];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::UniPc => "unipc",
            Self::Ddim => "ddim",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::DpmPp2m => "dpmpp-2m",
            Self::Heun => "heun",
        }
    }

    /// Evaluations of the network in `steps` steps.
    pub fn evaluations(self, steps: usize) -> usize {
        match self {
            // The last step ends without noise, where there is no second slope.
            Self::Heun => (2 * steps).saturating_sub(1),
            _ => steps,
        }
    }

    /// Runs the sampler over `steps` from `x`. `noise(i)` is the fresh noise of step i, of the length of `x`;
    /// only [`Sampler::EulerAncestral`] asks for it.
    ///
    /// # Errors
    /// Errors of `denoise`.
    pub fn run<E>(
        self,
        steps: &[Step],
        x: Vec<f32>,
        denoise: Denoise<'_, E>,
        noise: &mut dyn FnMut(usize) -> Vec<f32>,
    ) -> Result<Vec<f32>, E> {
        match self {
            Self::UniPc => unipc(steps, x, denoise),
            Self::Ddim => ddim(steps, x, denoise),
            Self::Euler => euler(steps, x, denoise),
            Self::EulerAncestral => euler_ancestral(steps, x, denoise, noise),
            Self::DpmPp2m => dpmpp_2m(steps, x, denoise),
            Self::Heun => heun(steps, x, denoise),
        }
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sampler {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|sampler| sampler.name() == name)
            .ok_or_else(|| format!("no sampler is called \"{name}\"; there are {known}"))
    }
}
