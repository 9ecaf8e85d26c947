//! The noise schedule of a diffusion model: how noisy time step t is, and what the network predicts there.
//!
//! Everything follows from abar_t, the share of the clean latents' power that is left at step t (Ho et al.
//! 2020): zt = sqrt(abar_t) z0 + sqrt(1 - abar_t) eps. Read from `scheduler_config.json` of any diffusers
//! scheduler that is built on betas; sampling steps are in [`crate::sampler`].

use std::path::Path;

use crate::config_check::{Config, ConfigError};

/// Meaning of the network's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prediction {
    /// The noise eps.
    Epsilon,
    /// v = sqrt(abar) eps - sqrt(1 - abar) z0 (Salimans and Ho 2022).
    Velocity,
    /// The clean latents z0.
    Sample,
}

/// Betas resolved to abar, with the meaning of the prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f64>,
    prediction: Prediction,
}

/// z0 cannot be computed at this time step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "time step {0} has zero signal (zero terminal SNR): clean latents do not follow from a noise prediction there"
)]
pub struct ZeroSignal(
    /// The time step.
    pub usize,
);

/// Schedulers built on betas, and those of them whose published defaults are Stable Diffusion's betas.
const DEFAULTS_DDPM: [&str; 16] = [
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "UniPCMultistepScheduler",
];
const DEFAULTS_SD: [&str; 6] = [
    "DPMSolverSDEScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "TCDScheduler",
];

/// Keys of sampling, which change nothing in training.
const SAMPLING_KEYS: [&str; 39] = [
    "algorithm_type",
    "clip_sample",
    "clip_sample_range",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "eta",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "lambda_min_clipped",
    "lower_order_final",
    "noise_sampler_seed",
    "original_inference_steps",
    "predict_x0",
    "sample_max_value",
    "set_alpha_to_one",
    "set_alpha_to_zero",
    "shift_terminal",
    "sigma_max",
    "sigma_min",
    "skip_prk_steps",
    "solver_order",
    "solver_p",
    "solver_type",
    "steps_offset",
    "thresholding",
    "timestep_spacing",
    "timestep_type",
    "use_beta_sigmas",
    "use_exponential_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
    "variance_type",
    "timestep_scaling",
    "corrector_order",
    "predictor_order",
    "tau_func",
    "time_shift_type",
];

impl NoiseSchedule {
    /// Reads `scheduler_config.json`.
    ///
    /// # Errors
    /// A file that cannot be read; a scheduler class, a beta schedule, a prediction type or any other key
    /// that changes the training target and is not implemented, by name; betas outside [0, 1).
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::from_config(Config::read(path)?)
    }

    /// The same from a parsed file.
    ///
    /// # Errors
    /// As [`NoiseSchedule::read`].
    pub fn from_config(mut config: Config) -> Result<Self, ConfigError> {
        let class = config.string("_class_name")?;
        let (mut beta_start, mut beta_end, mut form) = (0.0001, 0.02, "linear");
        if let Some(class) = class.as_deref() {
            if DEFAULTS_SD.contains(&class) {
                (beta_start, beta_end) = (0.00085, 0.012);
            } else if !DEFAULTS_DDPM.contains(&class) {
                return Err(config.unsupported(
                    "_class_name",
                    class,
                    "schedulers built on betas, such as DDPMScheduler",
                ));
            }
            if matches!(class, "LCMScheduler" | "TCDScheduler") {
                form = "scaled_linear";
            }
        }
        let steps = config.usize("num_train_timesteps")?.unwrap_or(1000);
        let beta_start = config.f64("beta_start")?.unwrap_or(beta_start);
        let beta_end = config.f64("beta_end")?.unwrap_or(beta_end);
        let form = config.string("beta_schedule")?.unwrap_or(form.into());
        let betas = match config.f64s("trained_betas")? {
            Some(betas) if betas.len() != steps => {
                let expected = format!("as many as num_train_timesteps, {steps}");
                return Err(config.wrong("trained_betas", expected, betas.len()));
            }
            Some(betas) => betas,
            None => betas(&config, &form, (beta_start, beta_end), steps)?,
        };
        // A beta of 1 leaves no signal; only the rescaling below may end there.
        if let Some(t) = betas.iter().position(|b| !(0.0..1.0).contains(b)) {
            return Err(config.wrong(
                "beta_end",
                "every beta in [0, 1)",
                format!("{} at step {t}", betas[t]),
            ));
        }
        let mut alphas_cumprod = cumulative_product(&betas);
        if config.bool("rescale_betas_zero_snr")?.unwrap_or(false) {
            zero_terminal_snr(&mut alphas_cumprod);
        }
        let prediction = match config.string("prediction_type")?.as_deref() {
            None | Some("epsilon") => Prediction::Epsilon,
            Some("v_prediction") => Prediction::Velocity,
            Some("sample") => Prediction::Sample,
            Some(other) => {
                return Err(config.unsupported("prediction_type", other, "epsilon, v_prediction, sample"));
            }
        };
        config.only("use_flow_sigmas", &[false.into()])?;
        config.only("use_dynamic_shifting", &[false.into()])?;
        config.ignore(&SAMPLING_KEYS);
        config.finish()?;
        Ok(Self { alphas_cumprod, prediction })
    }

    /// Number of time steps the model was trained with; steps are 0 .. this.
    pub fn steps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// Meaning of the network's output.
    pub fn prediction(&self) -> Prediction {
        self.prediction
    }

    /// abar_t for every t, falling from near 1 to near (or, rescaled, exactly) 0.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// True if the last noise level holds nothing of the picture.
    pub fn has_zero_snr(&self) -> bool {
        self.alphas_cumprod.last().is_some_and(|&last| last < 1e-9)
    }

    /// Coefficients (of z0, of eps) in zt = sqrt(abar_t) z0 + sqrt(1 - abar_t) eps. Panics if t is out of
    /// range.
    pub fn noising(&self, t: usize) -> (f64, f64) {
        let abar = self.alphas_cumprod[t];
        (abar.sqrt(), (1.0 - abar).sqrt())
    }

    /// Coefficients (of z0, of eps) of the training target y.
    pub fn target(&self, t: usize) -> (f64, f64) {
        let (signal, noise) = self.noising(t);
        match self.prediction {
            Prediction::Epsilon => (0.0, 1.0),
            Prediction::Velocity => (-noise, signal),
            Prediction::Sample => (1.0, 0.0),
        }
    }

    /// Coefficients (of zt, of the prediction p) in the clean latents that a prediction implies.
    ///
    /// # Errors
    /// A noise prediction where abar_t = 0.
    pub fn clean(&self, t: usize) -> Result<(f64, f64), ZeroSignal> {
        let (signal, noise) = self.noising(t);
        match self.prediction {
            Prediction::Epsilon if signal == 0.0 => Err(ZeroSignal(t)),
            Prediction::Epsilon => Ok((1.0 / signal, -noise / signal)),
            Prediction::Velocity => Ok((signal, -noise)),
            Prediction::Sample => Ok((0.0, 1.0)),
        }
    }

    /// Weight of a prediction's squared error that also counts, `lambda`-fold, the squared error of the clean
    /// latents which it implies: 1 + lambda c^2, c the prediction's coefficient in them. For noise
    /// predictions that is 1 + lambda (1 - abar) / abar, for velocities 1 + lambda (1 - abar).
    ///
    /// # Errors
    /// A noise prediction where abar_t = 0, unless `lambda` is 0.
    pub fn clean_weight(&self, t: usize, lambda: f64) -> Result<f64, ZeroSignal> {
        if lambda == 0.0 {
            return Ok(1.0);
        }
        let (_, coefficient) = self.clean(t)?;
        Ok(1.0 + lambda * coefficient.powi(2))
    }

    /// Signal-to-noise ratio abar_t / (1 - abar_t); infinite for a step without noise.
    pub fn snr(&self, t: usize) -> f64 {
        let abar = self.alphas_cumprod[t];
        abar / (1.0 - abar)
    }

    /// Weight of the squared error at step t in min-SNR-gamma weighting (Hang et al. 2023, section 3.4): the
    /// error of z0 is weighted by min(snr, gamma), written for what the network predicts. gamma is 5 there.
    pub fn min_snr_weight(&self, t: usize, gamma: f64) -> f64 {
        let snr = self.snr(t);
        match self.prediction {
            // At snr 0 the quotient's limit is 1, at infinity 0.
            Prediction::Epsilon => (gamma / snr).min(1.0),
            Prediction::Velocity => snr.min(gamma) / (snr + 1.0),
            Prediction::Sample => snr.min(gamma),
        }
    }
}

/// The betas of a schedule by its name in diffusers, from the first to the last.
fn betas(
    config: &Config,
    form: &str,
    (start, end): (f64, f64),
    steps: usize,
) -> Result<Vec<f64>, ConfigError> {
    match form {
        "linear" => Ok(linspace(start, end, steps).collect()),
        "scaled_linear" => {
            let ends = [("beta_start", start), ("beta_end", end)];
            match ends.into_iter().find(|(_, beta)| *beta < 0.0) {
                Some((key, beta)) => Err(config.wrong(key, "a beta of at least 0", beta)),
                None => Ok(linspace(start.sqrt(), end.sqrt(), steps).map(|b| b * b).collect()),
            }
        }
        "squaredcos_cap_v2" => Ok(squared_cosine(steps)),
        other => Err(config.unsupported("beta_schedule", other, "linear, scaled_linear, squaredcos_cap_v2")),
    }
}

fn linspace(from: f64, to: f64, count: usize) -> impl Iterator<Item = f64> {
    let step = (to - from) / count.saturating_sub(1).max(1) as f64;
    (0..count).map(move |i| from + step * i as f64)
}

/// Betas of the cosine schedule (Nichol and Dhariwal 2021, equation 17), capped at 0.999.
fn squared_cosine(steps: usize) -> Vec<f64> {
    let abar = |t: usize| {
        let angle = (t as f64 / steps as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
        angle.cos().powi(2)
    };
    (0..steps).map(|t| (1.0 - abar(t + 1) / abar(t)).min(0.999)).collect()
}

fn cumulative_product(betas: &[f64]) -> Vec<f64> {
    let mut product = 1.0;
    betas
        .iter()
        .map(|beta| {
            product *= 1.0 - beta;
            product
        })
        .collect()
}

/// Shifts and stretches sqrt(abar) so that the last step has no signal and the first keeps its own
/// (Lin et al. 2024, algorithm 1).
fn zero_terminal_snr(alphas_cumprod: &mut [f64]) {
    let (Some(first), Some(last)) = (alphas_cumprod.first(), alphas_cumprod.last()) else { return };
    let (first, last) = (first.sqrt(), last.sqrt());
    // A single step, or no noise at all: nothing to stretch.
    if first == last {
        return;
    }
    for abar in alphas_cumprod.iter_mut() {
        *abar = ((abar.sqrt() - last) * first / (first - last)).powi(2);
    }
}
