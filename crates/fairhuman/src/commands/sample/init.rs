//! Pictures that others begin with, as latents, or in the shape of others.

use std::path::Path;

use anyhow::ensure;
use fairhuman_diffusion::generate::{self, Settings};
use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_engine::Backend;
use fairhuman_vision::photo;
use image::RgbImage;

/// The clean latents `[h, w, C]`, as the U-Net has them, of a picture file: its middle in the shape of
/// `settings`, in their size.
pub fn latents<B: Backend>(
    backend: &B,
    pipeline: &Pipeline<B>,
    file: &Path,
    settings: &Settings,
) -> anyhow::Result<Vec<f32>> {
    let Settings { width, height, .. } = *settings;
    let multiple = pipeline.vae.config().reduction();
    let fits = |side: usize| side > 0 && side.is_multiple_of(multiple);
    ensure!(
        fits(width) && fits(height),
        "{width}x{height} pixels: expected sides that are multiples of {multiple}"
    );
    let picture = fitted(file, (settings.width, settings.height))?;
    let values: Vec<f32> = picture.as_raw().iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect();
    let tensor = backend.tensor(&[1, settings.height, settings.width, 3], &values);
    Ok(generate::encode(backend, &pipeline.vae, &tensor)?)
}

/// The middle of a picture file in the shape of a size (width and height), in that size.
pub fn fitted(file: &Path, (width, height): (usize, usize)) -> anyhow::Result<RgbImage> {
    let size = (u32::try_from(width)?, u32::try_from(height)?);
    Ok(photo::fitted(&photo::read(file)?, size))
}
