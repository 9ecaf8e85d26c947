//! From noise, or from noised latents, to clean latents: the guided sampling loop.

use std::sync::{Mutex, PoisonError};

use fairhuman_engine::{Backend, Params};

use super::batch::Batch;
use super::conditions::Conditions;
use super::inpaint::{Kept, inpaints};
use super::settings::check_finite;
use super::{GenerateError, Picture, Progress, Settings, latent_size};
use crate::net::{Init, random};
use crate::pipeline::{ModelFolder, Parts};
use crate::sampler::{Level, Spacing, Step, Trajectory};
use crate::schedule::NoiseSchedule;

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
    from_noise(Batch { backend, parts, params, settings, pictures }, noise, progress)
}

/// See [`latents`].
pub(super) fn from_noise<B: Backend>(
    batch: Batch<'_, '_, B>,
    noise: &[f32],
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<f32>, GenerateError> {
    let trajectory = trajectory(batch.parts.folder, batch.parts.schedule, batch.settings)?;
    let x = noise.iter().map(|&v| (trajectory.initial * f64::from(v)) as f32).collect();
    let walk = Walk { steps: &trajectory.steps, x, kept: None };
    batch.backend.attempt(|| sample_latents(batch, walk, progress))?
}

/// The same from the clean latents of other pictures, which get as much of `noise` as is left after the share
/// 1 - `strength` of the trajectory.
pub(super) fn from_latents<B: Backend>(
    batch: Batch<'_, '_, B>,
    (clean, noise, strength): (&[f32], &[f32], f64),
    kept: Option<Kept<'_>>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<f32>, GenerateError> {
    let trajectory = trajectory(batch.parts.folder, batch.parts.schedule, batch.settings)?;
    let walked = (strength.clamp(0.0, 1.0) * trajectory.steps.len() as f64) as usize;
    let steps = &trajectory.steps[trajectory.steps.len() - walked..];
    let Some(first) = steps.first() else { return Ok(clean.to_vec()) };
    let Level { signal, noise: sigma, .. } = first.from;
    let mix = |(&z, &e): (&f32, &f32)| (signal * f64::from(z) + sigma * f64::from(e)) as f32;
    let walk = Walk { steps, x: clean.iter().zip(noise).map(mix).collect(), kept };
    batch.backend.attempt(|| sample_latents(batch, walk, progress))?
}

/// Steps to take, where they begin, and what is kept on the way.
struct Walk<'a> {
    steps: &'a [Step],
    x: Vec<f32>,
    kept: Option<Kept<'a>>,
}

pub(super) fn trajectory(
    folder: &ModelFolder,
    schedule: &NoiseSchedule,
    settings: &Settings,
) -> Result<Trajectory, GenerateError> {
    let spacing = Spacing::read(&folder.schedule())?;
    Ok(Trajectory::new(settings.sampler, settings.steps, schedule, &spacing)?)
}

/// The noise that ancestral sampling adds to a picture in a step.
fn step_noise(seed: u64, index: u64, step: usize, length: usize) -> Vec<f32> {
    random::draw(seed, &format!("noise of step {step} of picture {index}"), length, Init::Normal(1.0))
}

/// Clean latents at the end of a walk.
fn sample_latents<B: Backend>(
    batch: Batch<'_, '_, B>,
    Walk { steps, x, kept }: Walk<'_>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<f32>, GenerateError> {
    let Batch { backend, parts, settings, pictures, .. } = batch;
    let (h, w) = latent_size(parts.vae, settings)?;
    let Settings { sampler, seed, .. } = *settings;
    settings.check_guidance()?;
    if pictures.is_empty() {
        return Ok(Vec::new());
    }
    if inpaints(parts) && kept.is_none() {
        return Err(GenerateError::NeedsMask);
    }
    let length = x.len() / pictures.len();
    if pictures.len() > 1 && backend.prefers_side_by_side(super::widest_activation(parts, (h, w))) {
        let shared = Mutex::new((0_usize, progress));
        let one = |(i, picture): (usize, &Picture)| {
            let mut progress = |p: Progress| {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.0 += 1;
                if shared.0.is_multiple_of(pictures.len()) {
                    let done = shared.0 / pictures.len();
                    (shared.1)(Progress { done, ..p });
                }
            };
            let x = x[i * length..(i + 1) * length].to_vec();
            let kept = kept.as_ref().map(|kept| kept.of(i, pictures.len()));
            let batch = Batch { pictures: std::slice::from_ref(picture), ..batch };
            sample_latents(batch, Walk { steps, x, kept }, &mut progress)
        };
        let made = backend.side_by_side(pictures.iter().enumerate().collect(), one);
        return made.into_iter().collect::<Result<Vec<_>, _>>().map(|latents| latents.concat());
    }
    let conditions = Conditions::new(batch)?;
    let shape = [pictures.len(), h, w, parts.vae.config().latent_channels];
    let prediction = parts.schedule.prediction();
    let (mut done, of) = (0, sampler.evaluations(steps.len()));
    let mut denoise = |x: &[f32], level: Level| -> Result<Vec<f32>, GenerateError> {
        let at = (level.timestep, (done, of));
        let held = kept.as_ref().map(|kept| kept.noisy(x, level));
        let x = held.as_deref().unwrap_or(x);
        let seen = kept.as_ref().and_then(Kept::seen);
        let p = conditions.predict(batch, &shape, (x, seen), at)?;
        let (of_x, of_p) = level.clean(prediction);
        let clean: Vec<f32> =
            x.iter().zip(&p).map(|(&x, &p)| (of_x * f64::from(x) + of_p * f64::from(p)) as f32).collect();
        check_finite(pictures, &clean, &parts.folder.unet(), || {
            format!("the U-Net at time step {}", level.timestep)
        })?;
        done += 1;
        progress(Progress { done, of });
        Ok(match &kept {
            Some(kept) => kept.clean(clean),
            None => clean,
        })
    };
    let mut fresh = |step| -> Vec<f32> {
        pictures.iter().flat_map(|picture| step_noise(seed, picture.index, step, length)).collect()
    };
    let last = steps.last().map_or(0.0, |step| step.to.noise);
    let clean = sampler.run(steps, x, &mut denoise, &mut fresh)?;
    // Where sampling ends with noise, what is kept has some, too.
    Ok(match &kept {
        Some(kept) if last > 0.0 => kept.clean(clean),
        _ => clean,
    })
}
