//! Pictures of prompts: text encoders, the guided sampling loop, and the autoencoder's decoder.
//!
//! A picture is a function of the model, its LoRAs, the settings, its prompt and its index. Its noise depends on (seed,
//! index) alone, so it is the same whatever other pictures are made before or beside it.

mod conditions;
mod lora;

use std::sync::{Mutex, PoisonError};

use fairhuman_engine::{Backend, Params, Tape, Var};
use rayon::prelude::*;

pub use lora::attach_loras;

use crate::config_check::{Config, ConfigError};
use crate::net::{Init, ModelError, random};
use crate::pipeline::{Family, ModelFolder, Parts};
use crate::sampler::{Level, Sampler, SamplerError, Spacing, Step, Trajectory};
use crate::schedule::NoiseSchedule;
use crate::vae::AutoencoderKl;
use conditions::Conditions;

/// What all pictures of a batch have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How to walk from noise to picture.
    pub sampler: Sampler,
    /// In how many steps.
    pub steps: usize,
    /// Scale g of classifier-free guidance (Ho and Salimans 2022): p = p_negative + g (p_prompt - p_negative). At 1 or
    /// less the negative prompt is not looked at, as in diffusers.
    pub guidance: f64,
    /// Width in pixels, a multiple of the autoencoder's reduction (8).
    pub width: usize,
    /// Height in pixels, likewise.
    pub height: usize,
    /// Decides the noise, together with each picture's index.
    pub seed: u64,
}

/// A picture that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What is to be seen.
    pub prompt: String,
    /// What is not. None: what the model has learnt as no text (zeros for SDXL base, the empty text else).
    pub negative: Option<String>,
    /// Decides the noise, together with the seed.
    pub index: u64,
}

/// A picture that was made: 8 bits, three channels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Evaluations of the network that are done.
    pub done: usize,
    /// Evaluations in all.
    pub of: usize,
}

/// Why there are no pictures.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A part of the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The scheduler's settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sampler.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// A size that has no latents.
    #[error(
        "{width}x{height} pixels: expected sides that are multiples of {multiple}, such as {}x{}",
        rounded(*width, *multiple),
        rounded(*height, *multiple)
    )]
    Size {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
        /// What sides must be multiples of.
        multiple: usize,
    },
    /// A guidance scale that is not a number.
    #[error("guidance {0}: expected a finite number")]
    Guidance(f64),
    /// Infinite numbers or NaN.
    #[error(
        "picture {index}: {what} gives numbers that are not finite; are the weights of the model or of a LoRA damaged, or is a LoRA's weight too large?"
    )]
    NotFinite {
        /// The picture's index.
        index: u64,
        /// What gave them.
        what: String,
    },
}

fn rounded(side: usize, multiple: usize) -> usize {
    (side.saturating_add(multiple / 2) / multiple).max(1) * multiple
}

/// Values of the U-Net's widest layers (cells times channels) up to which pictures are small: operations on so few are over
/// before another thread has begun to help.
const SMALL: usize = 1 << 16;

/// Makes a batch of pictures: as one tensor, or side by side where they are small. `params` are those of
/// [`attach_loras`], or none. `progress` is called after every evaluation of the network for all of them.
///
/// # Errors
/// See [`GenerateError`].
pub fn generate<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    params: &Params<B>,
    settings: &Settings,
    pictures: &[Picture],
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<Rgb>, GenerateError> {
    let (h, w) = latent_size(parts.vae, settings)?;
    let length = h * w * parts.unet.config().in_channels;
    let noise: Vec<f32> =
        pictures.iter().flat_map(|picture| initial_noise(settings.seed, picture.index, length)).collect();
    let latents = latents(backend, parts, params, settings, pictures, &noise, progress)?;
    decode(backend, parts, settings, pictures, &latents)
}

/// The noise N(0, 1) that a picture starts from: `length` values for its latents `[h, w, C]`.
pub fn initial_noise(seed: u64, index: u64, length: usize) -> Vec<f32> {
    random::draw(seed, &format!("initial noise of picture {index}"), length, Init::Normal(1.0))
}

/// The noise that ancestral sampling adds to a picture in a step.
fn step_noise(seed: u64, index: u64, step: usize, length: usize) -> Vec<f32> {
    random::draw(seed, &format!("noise of step {step} of picture {index}"), length, Init::Normal(1.0))
}

/// Clean latents `[N, h, w, C]` of `pictures`, as the U-Net has them, from `noise` of the same shape.
///
/// # Errors
/// See [`GenerateError`].
pub fn latents<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    params: &Params<B>,
    settings: &Settings,
    pictures: &[Picture],
    noise: &[f32],
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<f32>, GenerateError> {
    let trajectory = trajectory(parts.folder, parts.schedule, settings)?;
    let x = noise.iter().map(|&v| (trajectory.initial * f64::from(v)) as f32).collect();
    sample_latents(backend, parts, params, settings, pictures, (&trajectory.steps, x), progress)
}

/// Pictures that begin as others: their clean latents `[N, h, w, C]` (as the U-Net has them) with as much noise as
/// after the share 1 - `strength` of the way (Meng et al. 2022, SDEdit; diffusers' img2img). At strength 1 little of
/// them is left, at 0 all.
///
/// # Errors
/// See [`GenerateError`].
pub fn image_to_image<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    params: &Params<B>,
    settings: &Settings,
    pictures: &[Picture],
    (clean, strength): (&[f32], f64),
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<Rgb>, GenerateError> {
    let trajectory = trajectory(parts.folder, parts.schedule, settings)?;
    let kept = (strength.clamp(0.0, 1.0) * trajectory.steps.len() as f64) as usize;
    let steps = &trajectory.steps[trajectory.steps.len() - kept..];
    let latents = match steps.first() {
        None => clean.to_vec(),
        Some(first) => {
            let length = clean.len() / pictures.len().max(1);
            let noise = pictures.iter().flat_map(|p| initial_noise(settings.seed, p.index, length));
            let Level { signal, noise: sigma, .. } = first.from;
            let mix = |(&z, e): (&f32, f32)| (signal * f64::from(z) + sigma * f64::from(e)) as f32;
            let x = clean.iter().zip(noise).map(mix).collect();
            sample_latents(backend, parts, params, settings, pictures, (steps, x), progress)?
        }
    };
    decode(backend, parts, settings, pictures, &latents)
}

/// Whether a model can follow `settings`, before any picture is begun.
///
/// # Errors
/// What it cannot follow.
pub fn validate<B: Backend>(
    folder: &ModelFolder,
    schedule: &NoiseSchedule,
    vae: &AutoencoderKl<B>,
    settings: &Settings,
) -> Result<(), GenerateError> {
    latent_size(vae, settings)?;
    trajectory(folder, schedule, settings)?;
    if settings.guidance.is_finite() { Ok(()) } else { Err(GenerateError::Guidance(settings.guidance)) }
}

fn trajectory(
    folder: &ModelFolder,
    schedule: &NoiseSchedule,
    settings: &Settings,
) -> Result<Trajectory, GenerateError> {
    let spacing = Spacing::read(&folder.schedule())?;
    Ok(Trajectory::new(settings.sampler, settings.steps, schedule, &spacing)?)
}

/// Clean latents at the end of `steps` from `x`.
fn sample_latents<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    params: &Params<B>,
    settings: &Settings,
    pictures: &[Picture],
    (steps, x): (&[Step], Vec<f32>),
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<f32>, GenerateError> {
    let (h, w) = latent_size(parts.vae, settings)?;
    let Settings { sampler, guidance, seed, .. } = *settings;
    if !guidance.is_finite() {
        return Err(GenerateError::Guidance(guidance));
    }
    if pictures.is_empty() {
        return Ok(Vec::new());
    }
    let length = x.len() / pictures.len();
    if pictures.len() > 1 && is_small(parts, (h, w)) {
        let shared = Mutex::new((0_usize, progress));
        let one = |picture: &Picture, x: &[f32]| {
            let mut progress = |p: Progress| {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.0 += 1;
                if shared.0.is_multiple_of(pictures.len()) {
                    let done = shared.0 / pictures.len();
                    (shared.1)(Progress { done, ..p });
                }
            };
            let picture = std::slice::from_ref(picture);
            sample_latents(backend, parts, params, settings, picture, (steps, x.to_vec()), &mut progress)
        };
        return concurrently(backend, pictures, &x, one).map(|latents| latents.concat());
    }
    let conditions = Conditions::new(backend, parts, params, settings, pictures)?;
    let shape = [pictures.len(), h, w, parts.unet.config().in_channels];
    let prediction = parts.schedule.prediction();
    let (mut done, of) = (0, sampler.evaluations(steps.len()));
    let mut denoise = |x: &[f32], level: Level| -> Result<Vec<f32>, GenerateError> {
        let p = conditions.predict(backend, parts, params, &shape, x, level.timestep)?;
        let (of_x, of_p) = level.clean(prediction);
        let clean: Vec<f32> =
            x.iter().zip(&p).map(|(&x, &p)| (of_x * f64::from(x) + of_p * f64::from(p)) as f32).collect();
        check_finite(pictures, &clean, || format!("the U-Net at time step {}", level.timestep))?;
        done += 1;
        progress(Progress { done, of });
        Ok(clean)
    };
    let mut fresh = |step| -> Vec<f32> {
        pictures.iter().flat_map(|picture| step_noise(seed, picture.index, step, length)).collect()
    };
    sampler.run(steps, x, &mut denoise, &mut fresh)
}

/// `one` of every picture and its part of `x`, on all threads; the first error there is, in the order of the pictures.
fn concurrently<B: Backend, T: Send>(
    backend: &B,
    pictures: &[Picture],
    x: &[f32],
    one: impl Fn(&Picture, &[f32]) -> Result<T, GenerateError> + Send + Sync,
) -> Result<Vec<T>, GenerateError> {
    let parts = x.par_chunks_exact((x.len() / pictures.len().max(1)).max(1));
    let each = pictures.par_iter().zip(parts).with_max_len(1).map(|(picture, x)| one(picture, x));
    let made: Vec<_> = backend.scope(|| each.collect());
    made.into_iter().collect()
}

/// The pictures of `latents [N, h, w, C]`: side by side where they are small, else one after the other, so that
/// memory does not grow with their number.
///
/// # Errors
/// Latents that do not fit the autoencoder; see [`GenerateError`].
pub fn decode<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    settings: &Settings,
    pictures: &[Picture],
    latents: &[f32],
) -> Result<Vec<Rgb>, GenerateError> {
    let (h, w) = latent_size(parts.vae, settings)?;
    let (factor, shift) = parts.vae.scaling();
    let channels = parts.unet.config().in_channels;
    let one = |picture: &Picture, latents: &[f32]| {
        let z: Vec<f32> = latents.iter().map(|&v| (f64::from(v) / factor + shift) as f32).collect();
        let params = Params::default();
        let z = Var::constant(backend.tensor(&[1, h, w, channels], &z));
        let decoded = parts.vae.decode(&mut Tape::inference(backend, &params), &z)?;
        if decoded.shape()[3] != 3 {
            let problem = format!("gives {} channels, expected 3", decoded.shape()[3]);
            return Err(ModelError::Input { model: "VAE", input: "latents", problem }.into());
        }
        let (height, width) = (decoded.shape()[1], decoded.shape()[2]);
        let values = backend.read(decoded.value());
        check_finite(std::slice::from_ref(picture), &values, || "the VAE".into())?;
        let byte = |v: f32| ((0.5 * v + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        Ok(Rgb { width, height, pixels: values.into_iter().map(byte).collect() })
    };
    if is_small(parts, (h, w)) {
        return concurrently(backend, pictures, latents, one);
    }
    pictures.iter().zip(latents.chunks_exact((h * w * channels).max(1))).map(|(p, x)| one(p, x)).collect()
}

/// Clean latents `[N, h, w, C]`, as the U-Net has them, of pictures `[N, H, W, 3]` in [-1, 1]: the mean of the
/// autoencoder's distribution, scaled.
///
/// # Errors
/// Pictures that do not fit the autoencoder.
pub fn encode<B: Backend>(
    backend: &B,
    vae: &AutoencoderKl<B>,
    pictures: &B::Tensor,
) -> Result<Vec<f32>, ModelError> {
    let (mean, _) = vae.encode_moments(backend, pictures)?;
    let (factor, shift) = vae.scaling();
    Ok(backend.read(&mean).iter().map(|&z| ((f64::from(z) - shift) * factor) as f32).collect())
}

/// The size that a model was made for, width and height in pixels: `sample_size` of its U-Net.
///
/// # Errors
/// Configurations that cannot be read.
pub fn default_size<B: Backend>(parts: &Parts<'_, B>) -> Result<(usize, usize), GenerateError> {
    let mut config = Config::read(&parts.folder.unet().join("config.json"))?;
    let usual = match parts.folder.family {
        Family::Sd => 64,
        Family::Sdxl => 128,
    };
    let sides = config.usize_per_block("sample_size", 2)?.unwrap_or(vec![usual; 2]);
    let reduction = parts.vae.config().reduction();
    Ok((sides[1] * reduction, sides[0] * reduction))
}

/// How many pictures to make at the same time where nobody says: one for each thread where they are small, else one.
///
/// # Errors
/// Sizes that have no latents.
pub fn default_batch<B: Backend>(
    parts: &Parts<'_, B>,
    settings: &Settings,
    threads: usize,
) -> Result<usize, GenerateError> {
    let cells = latent_size(parts.vae, settings)?;
    Ok(if is_small(parts, cells) { threads.max(1) } else { 1 })
}

fn is_small<B: Backend>(parts: &Parts<'_, B>, (h, w): (usize, usize)) -> bool {
    h * w * parts.unet.config().channels[0] <= SMALL
}

/// Whether SDXL's zeros stand for an absent negative prompt.
fn zeros_for_negative(folder: &ModelFolder) -> bool {
    folder.family == Family::Sdxl && folder.zeros_for_empty_prompt
}

fn latent_size<B: Backend>(
    vae: &AutoencoderKl<B>,
    settings: &Settings,
) -> Result<(usize, usize), GenerateError> {
    let Settings { width, height, .. } = *settings;
    let multiple = vae.config().reduction();
    match [width, height].iter().all(|&side| side > 0 && side % multiple == 0) {
        true => Ok((height / multiple, width / multiple)),
        false => Err(GenerateError::Size { width, height, multiple }),
    }
}

fn check_finite(
    pictures: &[Picture],
    values: &[f32],
    what: impl Fn() -> String,
) -> Result<(), GenerateError> {
    let each = (values.len() / pictures.len().max(1)).max(1);
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(GenerateError::NotFinite { index: pictures[i / each].index, what: what() }),
    }
}
