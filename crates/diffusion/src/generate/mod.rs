//! Pictures of prompts: text encoders, the guided sampling loop, and the autoencoder's decoder.
//!
//! A picture is a function of the model, its LoRAs, the settings, its prompt and its index. Its noise depends
//! on (seed, index) alone, so it is the same whatever other pictures are made before or beside it.

mod autoencode;
mod batch;
mod conditions;
mod guidance;
mod guide;
mod inpaint;
mod latents;
mod lora;
mod settings;

use fairhuman_engine::{Backend, Params};

pub use autoencode::{decode, encode};
pub use guide::Guide;
pub use inpaint::{Inpainting, blank, inpaint, inpaint_latents, inpaints, latent_mask};
pub use latents::latents;
pub use lora::attach_loras;
pub use settings::{GenerateError, MAX_SIDE, Picture, Progress, Rgb, Settings};

use batch::Batch;

use crate::config_check::Config;
use crate::net::{Init, random};
use crate::pipeline::{Family, ModelFolder, Parts};
use crate::schedule::NoiseSchedule;
use crate::vae::AutoencoderKl;

/// Makes a batch of pictures: as one tensor, or side by side where the backend prefers it. `params` are those
/// of [`attach_loras`], or none. `progress` is called after every evaluation of the network for all of them.
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
    let batch = Batch { backend, parts, params, settings, pictures };
    let noise = batch.noise(h * w * parts.vae.config().latent_channels);
    let latents = latents::from_noise(batch, &noise, progress)?;
    decode(backend, parts, settings, pictures, &latents)
}

/// Pictures that begin as others: their clean latents `[N, h, w, C]` (as the U-Net has them) with as much
/// noise as after the share 1 - `strength` of the trajectory (Meng et al. 2022, SDEdit; diffusers' img2img).
/// At strength 1 little of them is left, at 0 all.
///
/// # Errors
/// See [`GenerateError`].
pub fn image_to_image<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    params: &Params<B>,
    settings: &Settings,
    pictures: &[Picture],
    start: (&[f32], f64),
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<Rgb>, GenerateError> {
    let (clean, strength) = start;
    let batch = Batch { backend, parts, params, settings, pictures };
    let noise = batch.noise(clean.len() / pictures.len().max(1));
    let latents = latents::from_latents(batch, (clean, &noise, strength), None, progress)?;
    decode(backend, parts, settings, pictures, &latents)
}

/// Checks that a model can follow `settings`, before any picture is begun.
///
/// # Errors
/// The setting that it cannot follow.
pub fn validate<B: Backend>(
    folder: &ModelFolder,
    schedule: &NoiseSchedule,
    vae: &AutoencoderKl<B>,
    settings: &Settings,
) -> Result<(), GenerateError> {
    validate_size(folder, schedule, vae.config().reduction(), settings)
}

/// The same where the autoencoder, which has `reduction` pixels for each cell of the latents, is not read.
///
/// # Errors
/// As [`validate`].
pub fn validate_size(
    folder: &ModelFolder,
    schedule: &NoiseSchedule,
    reduction: usize,
    settings: &Settings,
) -> Result<(), GenerateError> {
    cells(reduction, settings)?;
    latents::trajectory(folder, schedule, settings)?;
    settings.check_guidance()
}

/// The noise N(0, 1) that a picture starts from: `length` values for its latents `[h, w, C]`.
pub fn initial_noise(seed: u64, index: u64, length: usize) -> Vec<f32> {
    random::draw(seed, &format!("initial noise of picture {index}"), length, Init::Normal(1.0))
}

/// The size that a model was made for, width and height in pixels: `sample_size` of its U-Net times
/// `reduction`, the autoencoder's pixels for each cell of the latents.
///
/// # Errors
/// Configurations that cannot be read.
pub fn nominal_size(folder: &ModelFolder, reduction: usize) -> Result<(usize, usize), GenerateError> {
    let mut config = Config::read(&folder.unet().join("config.json"))?;
    let usual = match folder.family {
        Family::Sd => 64,
        Family::Sdxl => 128,
    };
    let sides = config.usize_per_block("sample_size", 2)?.unwrap_or(vec![usual; 2]);
    Ok((sides[1] * reduction, sides[0] * reduction))
}

/// Pictures to make at a time by default: as many as the backend runs side by side where it prefers that,
/// else one.
///
/// # Errors
/// Sizes that have no latents.
pub fn default_batch<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    settings: &Settings,
) -> Result<usize, GenerateError> {
    let values = widest_activation(parts, latent_size(parts.vae, settings)?);
    Ok(if backend.prefers_side_by_side(values) { backend.concurrency() } else { 1 })
}

/// Values of the U-Net's widest activation (cells times channels) for one picture.
fn widest_activation<B: Backend>(parts: &Parts<'_, B>, (h, w): (usize, usize)) -> usize {
    h * w * parts.unet.config().channels[0]
}

fn latent_size<B: Backend>(
    vae: &AutoencoderKl<B>,
    settings: &Settings,
) -> Result<(usize, usize), GenerateError> {
    cells(vae.config().reduction(), settings)
}

/// Height and width of the latents, with `multiple` pixels for each of their cells.
fn cells(multiple: usize, settings: &Settings) -> Result<(usize, usize), GenerateError> {
    let Settings { width, height, .. } = *settings;
    if width.max(height) > MAX_SIDE {
        return Err(GenerateError::TooLarge { width, height });
    }
    match [width, height].iter().all(|&side| side > 0 && side % multiple == 0) {
        true => Ok((height / multiple, width / multiple)),
        false => Err(GenerateError::Size { width, height, multiple }),
    }
}
