//! Pictures that others begin with, as latents, or in the shape of others.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use fairhuman_diffusion::generate::{self, Settings};
use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_engine::Backend;
use fairhuman_pictures::names;
use fairhuman_vision::photo;
use image::RgbImage;

use crate::units;

/// A note where so little of the trajectory is walked that it is no step.
pub fn no_step(strength: f64, steps: usize) -> Option<String> {
    let is_none = strength > 0.0 && strength * (steps as f64) < 1.0;
    let enough = (1.0 / strength).ceil();
    is_none.then(|| {
        format!(
            "nothing is painted: a strength of {strength} is less than one of {steps} steps; --steps {enough} \
             would be enough for one"
        )
    })
}

/// The picture file of each prompt: one for all, or a folder's by order of name.
pub fn one_for_each(path: &Path, prompts: usize) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf(); prompts]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.with_context(|| format!("cannot read {}", path.display()))?.path();
        let ending = names::extension(&file).unwrap_or_default();
        // The sheet that `sample` leaves beside its pictures is none of them.
        let is_sheet = file.file_name().is_some_and(|name| name == super::GRID);
        if names::READ.contains(&&*ending) && !is_sheet {
            files.push(file);
        }
    }
    files.sort();
    ensure!(
        files.len() == prompts,
        "{}: {} for {}: a folder must have one for each prompt",
        path.display(),
        units::count(files.len() as u64, "picture"),
        units::count(prompts as u64, "prompt")
    );
    Ok(files)
}

/// The clean latents of each prompt's picture. A file that is that of several prompts in a row is read once.
pub fn latents_of_all<B: Backend>(
    backend: &B,
    pipeline: &Pipeline<B>,
    files: &[PathBuf],
    settings: &Settings,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut all: Vec<Vec<f32>> = Vec::with_capacity(files.len());
    for (i, file) in files.iter().enumerate() {
        let found = match all.last() {
            Some(last) if files[i - 1] == *file => last.clone(),
            _ => latents(backend, pipeline, file, settings)?,
        };
        all.push(found);
    }
    Ok(all)
}

/// The clean latents `[h, w, C]`, as the U-Net has them, of a picture file: its middle in the shape of
/// `settings`, in their size.
fn latents<B: Backend>(
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
