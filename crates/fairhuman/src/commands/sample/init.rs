//! Pictures that others begin with, as latents, or in the shape of others.

use std::path::Path;

use anyhow::ensure;
use fairhuman_diffusion::generate::{self, Settings};
use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_engine::Backend;
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};

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
    let (width, height) = (u32::try_from(width)?, u32::try_from(height)?);
    let photo = fairhuman_vision::photo::read(file)?;
    // The largest part of the new shape.
    let (w, h) = (u64::from(photo.width()), u64::from(photo.height()));
    let wide = w * u64::from(height) > h * u64::from(width);
    let part = match wide {
        true => ((h * u64::from(width) / u64::from(height)).max(1) as u32, photo.height()),
        false => (photo.width(), (w * u64::from(height) / u64::from(width)).max(1) as u32),
    };
    let (left, top) = ((photo.width() - part.0) / 2, (photo.height() - part.1) / 2);
    let part = crop_imm(&photo, left, top, part.0, part.1).to_image();
    // As it is where nothing is to be changed: control images have lines of one pixel.
    Ok(if part.dimensions() == (width, height) {
        part
    } else {
        resize(&part, width, height, FilterType::Lanczos3)
    })
}
