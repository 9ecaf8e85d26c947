//! A result back into the picture: exact outside of its mask, in the picture's colours at its edge.

use image::{Rgb, RgbImage};

use crate::{SoftMask, Tile};

/// Pixels of the ring that colours are matched on; fewer say nothing.
const LEAST_RING: usize = 16;
/// Bounds of the factor between deviations: a ring without texture would amplify noise.
const GAIN: (f64, f64) = (0.8, 1.25);

/// Puts `made`, the pixels of a tile as [`Tile::back`] gives them, into the picture where `mask` is above 0.
/// Colours are matched before: mean and, within bounds, deviation of each channel on the ring where 0 < mask
/// < 1. Pixels where the mask is 0 are not touched.
pub fn paste(picture: &mut RgbImage, tile: &Tile, made: &RgbImage, mask: &SoftMask) {
    let area = tile.pixels();
    if made.dimensions() != (area.width, area.height) {
        return;
    }
    let colours = Colours::match_ring(picture, made, mask, (area.x, area.y));
    for (x, y, pixel) in made.enumerate_pixels() {
        let (x, y) = (area.x + x, area.y + y);
        let weight = f64::from(mask.at(x, y));
        if weight > 0.0 {
            let old = *picture.get_pixel(x, y);
            let mixed = |c: usize| mix(old.0[c], colours.of(c, pixel.0[c]), weight);
            picture.put_pixel(x, y, Rgb(std::array::from_fn(mixed)));
        }
    }
}

/// A byte with as much of a new value as a weight from 0 (the byte itself) to 1 says.
pub fn mix(old: u8, new: f64, weight: f64) -> u8 {
    let old = f64::from(old);
    (old + weight * (new - old)).round().clamp(0.0, 255.0) as u8
}

/// For each channel: what is subtracted, the factor, what is added.
struct Colours([(f64, f64, f64); 3]);

impl Colours {
    fn match_ring(picture: &RgbImage, made: &RgbImage, mask: &SoftMask, (left, top): (u32, u32)) -> Self {
        let ring: Vec<(Rgb<u8>, Rgb<u8>)> = made
            .enumerate_pixels()
            .filter(|(x, y, _)| {
                let weight = mask.at(left + x, top + y);
                weight > 0.0 && weight < 1.0
            })
            .map(|(x, y, new)| (*picture.get_pixel(left + x, top + y), *new))
            .collect();
        if ring.len() < LEAST_RING {
            return Self([(0.0, 1.0, 0.0); 3]);
        }
        Self(std::array::from_fn(|c| {
            let (old, old_deviation) = moments(ring.iter().map(|(old, _)| old.0[c]));
            let (new, new_deviation) = moments(ring.iter().map(|(_, new)| new.0[c]));
            let gain =
                if new_deviation > 0.0 { (old_deviation / new_deviation).clamp(GAIN.0, GAIN.1) } else { 1.0 };
            (new, gain, old)
        }))
    }

    fn of(&self, channel: usize, value: u8) -> f64 {
        let (from, gain, to) = self.0[channel];
        (f64::from(value) - from) * gain + to
    }
}

/// Mean and standard deviation.
fn moments(values: impl Iterator<Item = u8> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let variance = values.map(|v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}
