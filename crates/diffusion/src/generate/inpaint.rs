//! Inpainting: pictures of which a part is painted anew.
//!
//! A model that predicts C channels from C is held to the picture where the mask is below 1, twice in every
//! evaluation: with m the mask, z0 the picture's clean latents and eps the noise that sampling began with,
//!
//! ```text
//! x     <- m x     + (1 - m) (signal z0 + noise eps)     what the network is given
//! clean <- m clean + (1 - m) z0                          what the sampler is given
//! ```
//!
//! so that a multistep sampler's history agrees with what it is asked to continue, and a soft mask mixes in
//! every step. (diffusers mixes the sample after each step instead. With DDIM and a mask of 0 and 1 both are
//! the same.) A model that was made for inpainting is given mask and picture as further channels, and is not
//! held.

use fairhuman_engine::{Backend, Params};

use super::batch::Batch;
use super::{GenerateError, Picture, Progress, Rgb, Settings, decode, latent_size, latents};
use crate::net::ModelError;
use crate::pipeline::Parts;
use crate::sampler::Level;

/// Mask value from which models made for inpainting, which know 0 and 1, are asked to paint.
const PAINTED: f32 = 0.5;

/// Pictures in which a part is painted, and where: values of all N pictures behind each other.
#[derive(Debug, Clone, Copy)]
pub struct Inpainting<'a> {
    /// Clean latents `[N, h, w, C]`, as the U-Net has them.
    pub clean: &'a [f32],
    /// `[N, h, w]`, from 0 (stays) to 1 (is painted), as [`latent_mask`] makes it.
    pub mask: &'a [f32],
    /// Clean latents `[N, h, w, C]` of the pictures without what is painted ([`blank`]); only models made for
    /// inpainting look at them.
    pub blanked: Option<&'a [f32]>,
    /// Share of the trajectory that is walked, as in [`super::image_to_image`].
    pub strength: f64,
}

/// Paints a part of pictures anew. The rest has been through the autoencoder, too: paste the result into the
/// picture where its own pixels are to stay.
///
/// # Errors
/// See [`GenerateError`].
pub fn inpaint<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    params: &Params<B>,
    settings: &Settings,
    pictures: &[Picture],
    inpainting: &Inpainting<'_>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<Rgb>, GenerateError> {
    let batch = Batch { backend, parts, params, settings, pictures };
    let noise = batch.noise(inpainting.clean.len() / pictures.len().max(1));
    let latents = latents_of(batch, inpainting, &noise, progress)?;
    decode(backend, parts, settings, pictures, &latents)
}

/// The clean latents of [`inpaint`], from `noise` of the same shape.
///
/// # Errors
/// See [`GenerateError`].
pub fn inpaint_latents<B: Backend>(
    backend: &B,
    parts: &Parts<'_, B>,
    params: &Params<B>,
    settings: &Settings,
    pictures: &[Picture],
    (inpainting, noise): (&Inpainting<'_>, &[f32]),
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<f32>, GenerateError> {
    latents_of(Batch { backend, parts, params, settings, pictures }, inpainting, noise, progress)
}

fn latents_of<B: Backend>(
    batch: Batch<'_, '_, B>,
    inpainting: &Inpainting<'_>,
    noise: &[f32],
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<f32>, GenerateError> {
    let Batch { parts, settings, pictures, .. } = batch;
    let (h, w) = latent_size(parts.vae, settings)?;
    let cells = pictures.len() * h * w;
    let channels = parts.vae.config().latent_channels;
    let Inpainting { clean, mask, blanked, strength } = *inpainting;
    let wanted = [
        ("picture", clean.len(), cells * channels),
        ("noise", noise.len(), cells * channels),
        ("mask", mask.len(), cells),
        ("blanked picture", blanked.map_or(cells * channels, <[f32]>::len), cells * channels),
    ];
    for (input, found, expected) in wanted {
        if found != expected {
            let problem = format!("has {found} values, expected {expected}");
            return Err(ModelError::Input { model: "sampler", input, problem }.into());
        }
    }
    let kept = match (inpaints(parts), blanked) {
        (false, _) => Kept::Held { clean, noise, mask },
        (true, Some(blanked)) => Kept::Seen(beside(mask, blanked, channels)),
        (true, None) => {
            let problem = "is absent, and this model needs it".to_owned();
            let input = "blanked picture";
            return Err(ModelError::Input { model: "sampler", input, problem }.into());
        }
    };
    latents::from_latents(batch, (clean, noise, strength), Some(kept), progress)
}

/// True if a model was made for inpainting: its U-Net is given latents, a mask and the latents of a blanked
/// picture.
pub fn inpaints<B: Backend>(parts: &Parts<'_, B>) -> bool {
    parts.unet.config().in_channels == 2 * parts.vae.config().latent_channels + 1
}

/// Parts of pictures that are not to change.
#[derive(Debug, Clone)]
pub(super) enum Kept<'a> {
    /// Sampling is held to these latents with this noise, where the mask is below 1.
    Held { clean: &'a [f32], noise: &'a [f32], mask: &'a [f32] },
    /// The network is given these channels beside the latents: `[N, h, w, 1 + C]`.
    Seen(Vec<f32>),
}

impl<'a> Kept<'a> {
    /// That of picture `i` of `n`.
    pub fn of(&self, i: usize, n: usize) -> Kept<'a> {
        fn part(values: &[f32], i: usize, n: usize) -> &[f32] {
            let each = values.len() / n.max(1);
            &values[i * each..(i + 1) * each]
        }
        match self {
            Self::Held { clean, noise, mask } => {
                Kept::Held { clean: part(clean, i, n), noise: part(noise, i, n), mask: part(mask, i, n) }
            }
            Self::Seen(values) => Kept::Seen(part(values, i, n).to_vec()),
        }
    }

    /// Channels that the network is given beside the latents.
    pub fn seen(&self) -> Option<&[f32]> {
        match self {
            Self::Held { .. } => None,
            Self::Seen(values) => Some(values),
        }
    }

    /// `x` at a level of noise, held to the picture.
    pub fn noisy(&self, x: &[f32], level: Level) -> Vec<f32> {
        let own = |z: f32, e: f32| level.signal * f64::from(z) + level.noise * f64::from(e);
        match self {
            Self::Held { clean, noise, mask } => mixed(x, mask, |i| own(clean[i], noise[i])),
            Self::Seen(_) => x.to_vec(),
        }
    }

    /// Clean latents, held to the picture.
    pub fn clean(&self, found: Vec<f32>) -> Vec<f32> {
        match self {
            Self::Held { clean, mask, .. } => mixed(&found, mask, |i| clean[i].into()),
            Self::Seen(_) => found,
        }
    }
}

/// m x + (1 - m) own, the mask having one value for each cell.
fn mixed(x: &[f32], mask: &[f32], own: impl Fn(usize) -> f64) -> Vec<f32> {
    let channels = x.len() / mask.len().max(1);
    let value = |(i, x): (usize, &f32)| {
        let m = f64::from(mask[i / channels]);
        (m * f64::from(*x) + (1.0 - m) * own(i)) as f32
    };
    x.iter().enumerate().map(value).collect()
}

/// Mask, 0 or 1, and blanked latents, cell by cell.
fn beside(mask: &[f32], blanked: &[f32], channels: usize) -> Vec<f32> {
    let cells = mask.iter().zip(blanked.chunks_exact(channels.max(1)));
    let cell = |(&m, z): (&f32, &[f32])| {
        let painted = if m >= PAINTED { 1.0 } else { 0.0 };
        std::iter::once(painted).chain(z.iter().copied()).collect::<Vec<_>>()
    };
    cells.flat_map(cell).collect()
}

/// The mask of latents: the mean of a mask `[height, width]` of pixels over each cell of `reduction` pixels.
///
/// # Panics
/// If the sides are no multiples of `reduction`, or the mask has another size.
pub fn latent_mask(mask: &[f32], (width, height): (usize, usize), reduction: usize) -> Vec<f32> {
    assert!(
        width.is_multiple_of(reduction) && height.is_multiple_of(reduction) && mask.len() == width * height
    );
    let (w, h) = (width / reduction, height / reduction);
    let mut cells = vec![0.0_f64; w * h];
    for (y, row) in mask.chunks_exact(width).enumerate() {
        for (x, value) in row.iter().enumerate() {
            cells[y / reduction * w + x / reduction] += f64::from(*value);
        }
    }
    cells.into_iter().map(|sum| (sum / (reduction * reduction) as f64) as f32).collect()
}

/// A picture `[height, width, 3]` in [-1, 1] without what is painted: gray where the mask `[height, width]`
/// is 0.5 or more.
pub fn blank(picture: &[f32], mask: &[f32]) -> Vec<f32> {
    let keep =
        |(pixel, m): (&[f32], &f32)| pixel.iter().map(|v| if *m >= PAINTED { 0.0 } else { *v }).collect();
    picture.chunks_exact(3).zip(mask).flat_map(|pair| -> Vec<f32> { keep(pair) }).collect()
}
