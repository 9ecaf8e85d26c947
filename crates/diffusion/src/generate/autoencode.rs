//! Latents to pictures and back, scaled as the U-Net has them.

use fairhuman_engine::{Backend, Params, Tape, Var};

use super::settings::check_finite;
use super::{GenerateError, Picture, Rgb, Settings, latent_size, widest_activation};
use crate::net::ModelError;
use crate::pipeline::Parts;
use crate::vae::AutoencoderKl;

/// The pictures of `latents [N, h, w, C]`: side by side where the backend prefers it, else one after the
/// other, so that memory does not grow with their number; with all digits, which are seen in pictures.
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
    let backend = backend.exact();
    let (h, w) = latent_size(parts.vae, settings)?;
    let (factor, shift) = parts.vae.scaling();
    let channels = parts.vae.config().latent_channels;
    let decode_one = |picture: &Picture, latents: &[f32]| {
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
        check_finite(std::slice::from_ref(picture), &values, &parts.folder.vae(), || "the VAE".into())?;
        let byte = |v: f32| ((0.5 * v + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        Ok(Rgb { width, height, pixels: values.into_iter().map(byte).collect() })
    };
    let one = |picture: &Picture, latents: &[f32]| backend.attempt(|| decode_one(picture, latents))?;
    if backend.prefers_side_by_side(widest_activation(parts, (h, w))) {
        return concurrently(backend, pictures, latents, one);
    }
    pictures.iter().zip(latents.chunks_exact((h * w * channels).max(1))).map(|(p, x)| one(p, x)).collect()
}

/// `one` of every picture and its part of `x`, as many at a time as the backend runs; the first error there
/// is, in the order of the pictures.
fn concurrently<B: Backend, T: Send>(
    backend: &B,
    pictures: &[Picture],
    x: &[f32],
    one: impl Fn(&Picture, &[f32]) -> Result<T, GenerateError> + Send + Sync,
) -> Result<Vec<T>, GenerateError> {
    let parts = x.chunks_exact((x.len() / pictures.len().max(1)).max(1));
    let made = backend.side_by_side(pictures.iter().zip(parts).collect(), |(picture, x)| one(picture, x));
    made.into_iter().collect()
}

/// Clean latents `[N, h, w, C]`, as the U-Net has them, of pictures `[N, H, W, 3]` in [-1, 1]: the mean of
/// the autoencoder's distribution, scaled.
///
/// # Errors
/// Pictures that do not fit the autoencoder.
pub fn encode<B: Backend>(
    backend: &B,
    vae: &AutoencoderKl<B>,
    pictures: &B::Tensor,
) -> Result<Vec<f32>, ModelError> {
    let (mean, _) = vae.encode_moments(backend.exact(), pictures)?;
    let (factor, shift) = vae.scaling();
    Ok(backend.read(&mean).iter().map(|&z| ((f64::from(z) - shift) * factor) as f32).collect())
}
