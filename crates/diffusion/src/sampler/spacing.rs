//! Sampling settings of `scheduler_config.json`: which of the training time steps are visited, and where it
//! ends. (Its training settings are in [`crate::schedule`].)

use std::path::Path;

use serde_json::Value;

use crate::config_check::{Config, ConfigError};

/// Spacings of time steps (Lin et al. 2024, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestepSpacing {
    /// Equal distances, the first and the last included.
    Linspace,
    /// Whole distances counted from step 0: the last steps of training are left out.
    Leading,
    /// Equal distances counted from the last step.
    Trailing,
}

/// Time steps that a sampler visits.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spacing {
    /// None: what diffusers' scheduler of the chosen sampler has as default.
    pub timesteps: Option<TimestepSpacing>,
    /// True if levels are spaced by Karras et al. instead, for samplers that have the setting in diffusers:
    /// all but DDIM and Euler's ancestral.
    pub karras: bool,
    /// Added to every time step of [`TimestepSpacing::Leading`].
    pub offset: usize,
    /// True if the last step ends at the noise of time step 0 instead of none (`final_sigmas_type`:
    /// "sigma_min").
    pub ends_noisy: bool,
    /// The same for DDIM (`set_alpha_to_one`: false).
    pub ddim_ends_noisy: bool,
    /// True if DDIM is to clip clean latents, which is not implemented.
    pub ddim_clips: bool,
}

impl Spacing {
    /// Reads `scheduler_config.json`. Solver settings (orders, algorithm types) are not read: a sampler is
    /// chosen by name and has diffusers' defaults. Clipping counts as asked for only where the file says so;
    /// DDIM in diffusers also clips where a file says nothing, which no latent model means.
    ///
    /// # Errors
    /// A file that cannot be read; a value that asks for another spacing than is implemented, by name.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::from_config(Config::read(path)?)
    }

    /// The same from a parsed file.
    ///
    /// # Errors
    /// As [`Spacing::read`].
    pub fn from_config(mut config: Config) -> Result<Self, ConfigError> {
        let karras = config.bool("use_karras_sigmas")?.unwrap_or(false);
        if karras {
            config.only("sigma_min", &[])?;
            config.only("sigma_max", &[])?;
        }
        for key in ["use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "thresholding"] {
            config.only(key, &[false.into()])?;
        }
        config.only("interpolation_type", &[Value::from("linear")])?;
        config.only("timestep_type", &[Value::from("discrete")])?;
        let timesteps = match config.string("timestep_spacing")?.as_deref() {
            None => None,
            Some("linspace") => Some(TimestepSpacing::Linspace),
            Some("leading") => Some(TimestepSpacing::Leading),
            Some("trailing") => Some(TimestepSpacing::Trailing),
            Some(other) => {
                return Err(config.unsupported("timestep_spacing", other, "linspace, leading, trailing"));
            }
        };
        let ends_noisy = match config.string("final_sigmas_type")?.as_deref() {
            None | Some("zero") => false,
            Some("sigma_min") => true,
            Some(other) => return Err(config.unsupported("final_sigmas_type", other, "zero, sigma_min")),
        };
        Ok(Self {
            timesteps,
            karras,
            offset: config.usize("steps_offset")?.unwrap_or(0),
            ends_noisy,
            ddim_ends_noisy: !config.bool("set_alpha_to_one")?.unwrap_or(true),
            ddim_clips: config.bool("clip_sample")?.unwrap_or(false),
        })
    }
}
