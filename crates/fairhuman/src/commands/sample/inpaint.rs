//! Pictures of which a part is painted anew: in their own size, and exact where nothing is painted.

use std::path::Path;

use anyhow::ensure;
use fairhuman_diffusion::generate::{self, Inpainting, Rgb};
use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_engine::Backend;
use fairhuman_vision::photo;
use image::{GrayImage, ImageBuffer, Pixel, RgbImage};

use crate::commands::mask_file;

/// A picture, and where it is painted.
pub struct Canvas {
    picture: RgbImage,
    mask: GrayImage,
    /// Width and height that the model is given: the picture's, filled up to what it takes.
    pub size: (usize, usize),
}

/// Latents of a picture and its mask.
pub struct Latents {
    clean: Vec<f32>,
    mask: Vec<f32>,
    blanked: Option<Vec<f32>>,
    strength: f64,
}

impl Canvas {
    /// Reads picture and mask: in a size (width, height) that was asked for, or in their own.
    pub fn read(
        picture: &Path,
        mask: &Path,
        wanted: Option<(usize, usize)>,
        reduction: usize,
    ) -> anyhow::Result<Self> {
        let (named, mask_named) = (picture.display(), mask.display());
        let (picture, mask) = (photo::read(picture)?, mask_file::read(mask)?);
        let ((w, h), (of_mask, high)) = (picture.dimensions(), mask.dimensions());
        ensure!(
            (w, h) == (of_mask, high),
            "{mask_named} has {of_mask}x{high} pixels, {named} {w}x{h}: a mask has its picture's size"
        );
        let (picture, mask) = match wanted {
            Some((width, height)) => {
                let size = (u32::try_from(width)?, u32::try_from(height)?);
                (photo::fitted(&picture, size), photo::fitted(&mask, size))
            }
            None => (picture, mask),
        };
        let side = |length: u32| (length as usize).next_multiple_of(reduction);
        let size = (side(picture.width()), side(picture.height()));
        Ok(Self { picture, mask, size })
    }

    /// Width and height of the new pictures.
    pub fn shown(&self) -> (usize, usize) {
        (self.picture.width() as usize, self.picture.height() as usize)
    }

    /// Its latents, as the model's sampler wants them.
    pub fn latents<B: Backend>(
        &self,
        backend: &B,
        pipeline: &Pipeline<B>,
        strength: f64,
    ) -> anyhow::Result<Latents> {
        let pixels: Vec<f32> =
            filled(&self.picture, self.size).as_raw().iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect();
        let mask: Vec<f32> =
            filled(&self.mask, self.size).as_raw().iter().map(|&v| f32::from(v) / 255.0).collect();
        Latents::new(backend, pipeline, (&pixels, &mask), self.size, strength)
    }

    /// A new picture as it is shown: cut to the picture's size, and the picture itself where the mask is
    /// black.
    pub fn paste(&self, made: &Rgb) -> Rgb {
        let (width, height) = self.shown();
        let mut pixels = Vec::with_capacity(width * height * 3);
        for (i, (old, mask)) in self.picture.pixels().zip(self.mask.pixels()).enumerate() {
            let at = 3 * (i / width * made.width + i % width);
            for (old, new) in old.0.iter().zip(&made.pixels[at..at + 3]) {
                let weight = f64::from(mask.0[0]) / 255.0;
                pixels.push(fairhuman_refine::mix(*old, f64::from(*new), weight));
            }
        }
        Rgb { width, height, pixels }
    }
}

impl Latents {
    /// Those of pixels `[height, width, 3]` in [-1, 1] and their mask `[height, width]`.
    pub fn new<B: Backend>(
        backend: &B,
        pipeline: &Pipeline<B>,
        (pixels, mask): (&[f32], &[f32]),
        (width, height): (usize, usize),
        strength: f64,
    ) -> anyhow::Result<Self> {
        let encode = |pixels: &[f32]| {
            let tensor = backend.tensor(&[1, height, width, 3], pixels);
            generate::encode(backend, &pipeline.vae, &tensor)
        };
        let blanked = match generate::inpaints(&pipeline.parts()) {
            true => Some(encode(&generate::blank(pixels, mask))?),
            false => None,
        };
        let reduction = pipeline.vae.config().reduction();
        let latent_mask = generate::latent_mask(mask, (width, height), reduction);
        Ok(Self { clean: encode(pixels)?, mask: latent_mask, blanked, strength })
    }

    /// The same for `count` pictures.
    pub fn repeated(&self, count: usize) -> Self {
        Self {
            clean: self.clean.repeat(count),
            mask: self.mask.repeat(count),
            blanked: self.blanked.as_ref().map(|blanked| blanked.repeat(count)),
            strength: self.strength,
        }
    }

    /// As the sampler takes them.
    pub fn inpainting(&self) -> Inpainting<'_> {
        let Self { clean, mask, blanked, strength } = self;
        Inpainting { clean, mask, blanked: blanked.as_deref(), strength: *strength }
    }
}

/// A picture in the upper left of a larger one, its last pixels repeated to the right and below.
pub fn filled<P: Pixel<Subpixel = u8> + 'static>(
    picture: &ImageBuffer<P, Vec<u8>>,
    (width, height): (usize, usize),
) -> ImageBuffer<P, Vec<u8>> {
    let (right, bottom) = (picture.width().saturating_sub(1), picture.height().saturating_sub(1));
    ImageBuffer::from_fn(width as u32, height as u32, |x, y| *picture.get_pixel(x.min(right), y.min(bottom)))
}
