//! The geometry of a sample as a plain value: resizing, mirroring and cropping, drawn once for all its
//! images.
//!
//! The order is: EXIF orientation, resize until the picture covers the target, mirror, crop. `crop_left` is
//! thus measured in the picture that the network sees, which keeps SDXL's crop condition true of mirrored
//! samples too.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::buckets::{self, BucketList, BucketSpec};
use crate::diagnostic::DatasetError;

/// The target size and what may vary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeometrySpec {
    /// Width of the training picture in pixels. Default 1024; on the command line, where neither is given,
    /// the model's own size.
    pub width: u32,
    /// Height of the training picture in pixels. Default 1024.
    pub height: u32,
    /// The part that is kept of a picture of another shape: `"center"` (default) or `"random"`.
    pub crop: Crop,
    /// The probability, in [0, 1], that a sample is mirrored left to right. Default 0: captions that say
    /// "left" and "right", and text in the picture, would become wrong.
    pub flip: f32,
    /// Aspect-ratio buckets: every picture is trained at the size of about this area whose shape is nearest
    /// to its own. Default: none, all pictures are `width` times `height`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets: Option<BucketSpec>,
}

impl Default for GeometrySpec {
    fn default() -> Self {
        GeometrySpec { width: 1024, height: 1024, crop: Crop::Center, flip: 0.0, buckets: None }
    }
}

impl GeometrySpec {
    /// Checks the values, and that latents of `latent_factor` pixels per cell tile the picture exactly.
    pub fn check(&self, latent_factor: usize) -> Result<(), DatasetError> {
        check_size(self.width, self.height, latent_factor)?;
        if !(0.0..=1.0).contains(&self.flip) {
            return Err(DatasetError::Geometry(format!(
                "flip is {}: it is a probability, from 0 to 1",
                self.flip
            )));
        }
        let Some(buckets) = &self.buckets else { return Ok(()) };
        if buckets.list == BucketList::Sdxl && (self.width, self.height) != (1024, 1024) {
            return Err(DatasetError::Geometry(format!(
                "SDXL's buckets are for 1024 x 1024 pixels, not {} x {}: use the list \"area\"",
                self.width, self.height
            )));
        }
        let sizes = buckets::list(buckets, self.width, self.height);
        if sizes.is_empty() || buckets.step == 0 {
            return Err(DatasetError::Geometry(format!(
                "there is no bucket: no multiples of step {} between min_side and max_side have an area of at \
                 most {} x {}",
                buckets.step, self.width, self.height
            )));
        }
        sizes.into_iter().try_for_each(|(width, height)| check_size(width, height, latent_factor))
    }

    /// All sizes that pictures are trained at.
    pub fn sizes(&self) -> Vec<(u32, u32)> {
        match &self.buckets {
            Some(spec) => buckets::list(spec, self.width, self.height),
            None => vec![(self.width, self.height)],
        }
    }

    /// The target size of a picture of size `original`: its bucket, or the one size that there is.
    pub fn target(&self, original: (u32, u32)) -> (u32, u32) {
        let assign = |b: &BucketSpec| buckets::assign(&buckets::list(b, self.width, self.height), original);
        self.buckets.as_ref().and_then(assign).unwrap_or((self.width, self.height))
    }
}

fn check_size(width: u32, height: u32, latent_factor: usize) -> Result<(), DatasetError> {
    let fits = |n: u32| n > 0 && (n as usize).checked_rem(latent_factor) == Some(0);
    if fits(width) && fits(height) {
        return Ok(());
    }
    Err(DatasetError::Geometry(format!(
        "{width} x {height} pixels cannot be divided into latent cells of {latent_factor} x {latent_factor}: \
         use multiples of {latent_factor}"
    )))
}

/// The part of a resized picture that is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// The middle.
    #[default]
    Center,
    /// Anywhere, all places alike.
    Random,
}

/// One geometry, applied to the picture, to all its masks and to its conditioning image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Draw {
    /// Width and height of the picture as shown, before resizing.
    pub original: (u32, u32),
    /// Width and height after resizing; both cover the target.
    pub resized: (u32, u32),
    /// Columns cut off at the left of the resized (and mirrored, if `flip`) picture.
    pub crop_left: u32,
    /// Rows cut off at the top.
    pub crop_top: u32,
    /// Width of the result.
    pub width: u32,
    /// Height of the result.
    pub height: u32,
    /// True if the picture is mirrored left to right.
    pub flip: bool,
}

impl Draw {
    /// SDXL's added conditions: original height and width, crop top and left, target height and width.
    pub fn time_ids(&self) -> [f32; 6] {
        [
            self.original.1 as f32,
            self.original.0 as f32,
            self.crop_top as f32,
            self.crop_left as f32,
            self.height as f32,
            self.width as f32,
        ]
    }

    /// Checks that the draw belongs to a picture of size `original` and is possible.
    pub(crate) fn check(&self, original: (u32, u32), latent_factor: usize) -> Result<(), DatasetError> {
        check_size(self.width, self.height, latent_factor)?;
        let inside = |start: u32, len: u32, all: u32| u64::from(start) + u64::from(len) <= all.into();
        let (w, h) = self.resized;
        if self.original == original
            && inside(self.crop_left, self.width, w)
            && inside(self.crop_top, self.height, h)
        {
            return Ok(());
        }
        Err(DatasetError::Geometry(format!(
            "this geometry is not one of a picture of {} x {} pixels: {self:?}",
            original.0, original.1
        )))
    }
}

/// Draws the geometry of one sample, a pure function of its arguments.
///
/// `original` is the picture's (width, height) as shown. `sample` is any number that tells the samples of a
/// step apart. The randomness is ChaCha8 under the 32-byte key `seed | step | sample | "geometry"`
/// (little-endian): word 0 places the crop's left edge, word 1 its top edge, word 2 decides the mirroring (64
/// bits each), so switching one option on or off leaves the others as they were.
pub fn draw(spec: &GeometrySpec, original: (u32, u32), seed: u64, step: u64, sample: u64) -> Draw {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[16..24].copy_from_slice(&sample.to_le_bytes());
    key[24..].copy_from_slice(b"geometry");
    let mut words = ChaCha8Rng::from_seed(key);
    let [left, top, mirror] = [(); 3].map(|()| words.next_u64());

    let (width, height) = spec.target(original);
    let resized = cover(original, (width, height));
    let place = |word: u64, all: u32, kept: u32| {
        let spare = all.saturating_sub(kept);
        match spec.crop {
            Crop::Center => spare / 2,
            // The product's high half is uniform over 0..=spare to one part in 2^32.
            Crop::Random => ((u128::from(word) * (u128::from(spare) + 1)) >> 64) as u32,
        }
    };
    Draw {
        original,
        resized,
        crop_left: place(left, resized.0, width),
        crop_top: place(top, resized.1, height),
        width,
        height,
        flip: ((mirror >> 40) as f32) < spec.flip * (1u32 << 24) as f32,
    }
}

/// The smallest size of `original`'s shape that covers `target`, rounded to whole pixels.
fn cover(original: (u32, u32), target: (u32, u32)) -> (u32, u32) {
    let (ow, oh) = (u64::from(original.0.max(1)), u64::from(original.1.max(1)));
    let (tw, th) = (u64::from(target.0), u64::from(target.1));
    let scaled = |n: u64, by: u64, over: u64| u32::try_from((n * by + over / 2) / over).unwrap_or(u32::MAX);
    if tw * oh >= th * ow { (target.0, scaled(oh, tw, ow)) } else { (scaled(ow, th, oh), target.1) }
}
