//! The bytes that a run leaves on the disk, from configurations and settings alone.

use crate::memory::{Networks, Sizes, estimate};
use crate::method::LossSpace;
use crate::recipe::Recipe;

/// Bytes of a value in checkpoints and in the cache.
const VALUE: f64 = 4.0;
/// Values of AdamW's state for each trained one, and itself.
const STATE: f64 = 3.0;
/// Tokens of a caption.
const TOKENS: f64 = 77.0;

/// The checkpoints that are there at once, the cache of a dataset of so many pictures, and what is written at
/// the end.
pub fn bytes(networks: &Networks, recipe: &Recipe, pictures: usize) -> f64 {
    let needed = estimate(networks, &Sizes::of(recipe));
    // AdamW has two moments for each.
    let trained = needed.moments / (2.0 * VALUE);
    let state = if recipe.ema.is_some() { STATE + 1.0 } else { STATE };
    let all = recipe.steps / recipe.checkpoints.every + 1;
    // The new one is written before an old one is deleted.
    let kept = match recipe.checkpoints.keep as u64 {
        0 => all,
        keep => all.min(keep + 1),
    };
    let results = recipe.method.writes().len() as f64 * VALUE * trained;
    kept as f64 * state * VALUE * trained + results + cache(networks, recipe, pictures)
}

/// Latents (mean and log-variance) and embeddings of all pictures.
fn cache(networks: &Networks, recipe: &Recipe, pictures: usize) -> f64 {
    if recipe.method.space() == LossSpace::Pixels {
        return 0.0;
    }
    let side = |pixels: u32| f64::from(pixels) / networks.vae.reduction() as f64;
    let cells = side(recipe.geometry.width) * side(recipe.geometry.height);
    let latents = 2.0 * cells * networks.vae.latent_channels as f64;
    let text = TOKENS * networks.unet.text_width as f64;
    pictures as f64 * VALUE * (latents + text)
}
