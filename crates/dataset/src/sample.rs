//! Loading one item as a network takes it: picture, masks and conditioning image in one geometry.

use crate::decode::{Decoder, ItemImage};
use crate::diagnostic::{DatasetError, Diagnostic};
use crate::geometry::Draw;
use crate::item::Item;
use crate::pixels::{self, Background};
use crate::resample;

/// The parts of a [`Sample`] that are loaded. Of the others no file is decoded.
///
/// ```
/// use fairhuman_dataset::Wanted;
///
/// // Where the picture's latents are cached and the network takes no control image:
/// let wanted = Wanted { masks: true, ..Wanted::NOTHING };
/// assert!(!wanted.image && !wanted.conditioning);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// [`Sample::image`].
    pub image: bool,
    /// [`Sample::masks`].
    pub masks: bool,
    /// [`Sample::conditioning`].
    pub conditioning: bool,
}

impl Wanted {
    /// Only what is known without decoding: the caption and the sizes.
    pub const NOTHING: Wanted = Wanted { image: false, masks: false, conditioning: false };
    /// The picture alone.
    pub const IMAGE: Wanted = Wanted { image: true, ..Wanted::NOTHING };
    /// The picture, all masks and the conditioning image.
    pub const ALL: Wanted = Wanted { image: true, masks: true, conditioning: true };
}

/// One item as a network takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `[height, width, 3]`, RGB in [-1, 1]. Empty unless it was wanted.
    pub image: Vec<f32>,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// One entry per region. `None` if the picture has no such region, or none of it lies in this crop: the
    /// region's objective has no pixels in this sample. Empty unless masks were wanted.
    pub masks: Vec<Option<LatentMask>>,
    /// `[height, width, 3]`, RGB in [0, 1]. `None` unless it was wanted and the recipe names a source.
    pub conditioning: Option<Vec<f32>>,
    /// The caption.
    pub caption: String,
    /// SDXL's added conditions: original height and width, crop top and left, target height and width.
    pub time_ids: [f32; 6],
}

/// A region at latent resolution.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentMask {
    /// `[height, width]`: 1 in the cells of the region, 0 elsewhere. At least one cell is 1.
    pub cells: Vec<f32>,
    /// Height in latent cells.
    pub height: usize,
    /// Width in latent cells.
    pub width: usize,
    /// The exact share of the sample's area that the mask covers, before it was reduced to cells.
    pub share: f32,
}

/// Loads the wanted parts of an item in the geometry `draw`, with masks of `latent_factor` pixels per cell.
pub(crate) fn load(
    decoder: &Decoder,
    item: &Item,
    draw: &Draw,
    latent_factor: usize,
    wanted: Wanted,
) -> Result<Sample, DatasetError> {
    draw.check(item.size, latent_factor)?;
    let picture = ItemImage::picture(item);
    let at_picture = |error: Diagnostic| picture.locate(item, error);
    let (content, header) = decoder.find_picture(item).map_err(at_picture)?;
    let mut sample = Sample {
        image: Vec::new(),
        height: draw.height as usize,
        width: draw.width as usize,
        masks: Vec::new(),
        conditioning: None,
        caption: item.caption.clone(),
        time_ids: draw.time_ids(),
    };
    if wanted.masks {
        sample.masks.resize(item.masks.len(), None);
        let (rows, cols) = (sample.height / latent_factor, sample.width / latent_factor);
        for image in decoder.masks(item) {
            let mask = decoder.companion(item, &image, &header).and_then(pixels::mask);
            let mask = mask.map_err(|error| image.locate(item, error))?;
            let cover = resample::cover(&mask, draw, cols, rows);
            if let Some(region) = image.region {
                sample.masks[region] = latent_mask(&cover, rows, cols, decoder.spec.mask_threshold);
            }
        }
    }
    if let Some(image) = decoder.conditioning(item).filter(|_| wanted.conditioning) {
        let control = decoder.companion(item, &image, &header).map_err(|error| image.locate(item, error))?;
        let rgb = pixels::rgb(control, Background::Black);
        sample.conditioning = Some(resample::picture(&rgb, draw, 1.0, 0.0).map_err(DatasetError::Geometry)?);
    }
    if wanted.image {
        let rgb = decoder.picture(item, &content, &header).map_err(at_picture)?;
        sample.image = resample::picture(&rgb, draw, 2.0, -1.0).map_err(DatasetError::Geometry)?;
    }
    Ok(sample)
}

/// The cells with at least `threshold` of their area in the region, or `None` if there are none.
pub(crate) fn latent_mask(cover: &[f32], height: usize, width: usize, threshold: f32) -> Option<LatentMask> {
    // Rounding must not decide about a cell that is covered by exactly the threshold.
    let inside = |c: &f32| if *c >= threshold - 1e-6 { 1.0 } else { 0.0 };
    let cells: Vec<f32> = cover.iter().map(inside).collect();
    if !cells.contains(&1.0) {
        return None;
    }
    let sum: f64 = cover.iter().map(|&c| f64::from(c)).sum();
    let share = (sum / cover.len() as f64) as f32;
    Some(LatentMask { cells, height, width, share })
}
