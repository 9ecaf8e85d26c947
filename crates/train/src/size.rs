//! The size of a recipe's pictures beside the one that the model was made for.

use std::path::Path;

use fairhuman_dataset::GeometrySpec;
use fairhuman_diffusion::generate::nominal_size;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::vae::VaeConfig;

/// Width and height of the pictures that the model in a folder was made for; none where it cannot be opened.
pub fn of(model: &Path) -> Option<(u32, u32)> {
    let model = ModelFolder::open(model).ok()?;
    let vae = VaeConfig::open(&model.vae().join("config.json")).ok()?;
    let (width, height) = nominal_size(&model, vae.reduction()).ok()?;
    Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))
}

/// A note where pictures have more than twice the pixels that the model was made for, or less than half.
pub fn note(model: &ModelFolder, geometry: &GeometrySpec) -> Option<String> {
    let vae = VaeConfig::open(&model.vae().join("config.json")).ok()?;
    let (width, height) = nominal_size(model, vae.reduction()).ok()?;
    let times = f64::from(geometry.width) * f64::from(geometry.height) / (width * height) as f64;
    let differs = !(0.5..=2.0).contains(&times);
    differs.then(|| {
        format!(
            "geometry: {} x {} pixels are {} times those that the model was made for, {width} x {height}",
            geometry.width,
            geometry.height,
            if times >= 1.0 { format!("{times:.0}") } else { format!("{times:.2}") }
        )
    })
}
