//! Pictures that occur twice: with the same bytes, or nearly the same pixels.
//!
//! Pixels are compared by a fingerprint: a difference hash (Krawetz, 2013) of 256 bits: the picture at 17 x
//! 16, each bit whether a pixel is brighter than the one to its left. Two pictures look alike if at most
//! [`NEAR_BITS`] bits differ and their colours at 8 x 8 differ by at most [`NEAR_COLOUR`] levels in the mean:
//! plain backgrounds have few honest bits.

use std::collections::HashMap;

use image::DynamicImage;
use image::imageops::{FilterType, resize};
use rayon::prelude::*;

/// Bits of 256 that may differ between near duplicates.
pub const NEAR_BITS: u32 = 10;
/// Levels of 255 by which their small versions may differ in the mean.
pub const NEAR_COLOUR: f32 = 10.0;

/// A small summary of a picture's pixels, by which near duplicates are found.
#[derive(Debug, Clone)]
pub(super) struct Fingerprint {
    bits: [u64; 4],
    colours: Vec<u8>,
}

/// The fingerprint of a picture.
pub(super) fn fingerprint(picture: &DynamicImage) -> Fingerprint {
    // Reduced in two steps: exact filtering of a large picture would take longer than its decoding.
    let small = picture.thumbnail_exact(64, 64).into_rgb8();
    let gray = resize(&DynamicImage::ImageRgb8(small.clone()).into_luma8(), 17, 16, FilterType::Triangle);
    let mut bits = [0u64; 4];
    for y in 0..16u32 {
        for x in 0..16u32 {
            let brighter = gray.get_pixel(x + 1, y).0[0] > gray.get_pixel(x, y).0[0];
            bits[y as usize / 4] |= u64::from(brighter) << (16 * (y % 4) + x);
        }
    }
    Fingerprint { bits, colours: resize(&small, 8, 8, FilterType::Triangle).into_raw() }
}

impl Fingerprint {
    fn is_near(&self, other: &Fingerprint) -> bool {
        let bits: u32 = self.bits.iter().zip(&other.bits).map(|(a, b)| (a ^ b).count_ones()).sum();
        bits <= NEAR_BITS && self.colour_distance(other) <= NEAR_COLOUR
    }

    fn colour_distance(&self, other: &Fingerprint) -> f32 {
        let sum: u32 = self.colours.iter().zip(&other.colours).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        sum as f32 / self.colours.len().max(1) as f32
    }
}

/// For each picture the first earlier one with the same bytes.
pub(super) fn exact(hashes: &[Option<[u8; 32]>]) -> Vec<(usize, usize)> {
    let mut first = HashMap::new();
    let mut found = Vec::new();
    for (i, hash) in hashes.iter().enumerate() {
        let Some(hash) = hash else { continue };
        match first.get(hash) {
            Some(&before) => found.push((i, before)),
            None => {
                first.insert(hash, i);
            }
        }
    }
    found
}

/// For each picture the first earlier one that looks alike. Pictures with true in `skip` are left out.
pub(super) fn near(all: &[Option<Fingerprint>], skip: &[bool]) -> Vec<(usize, usize)> {
    let usable = |i: usize| if skip[i] { None } else { all[i].as_ref() };
    (0..all.len())
        .into_par_iter()
        .filter_map(|i| {
            let fingerprint = usable(i)?;
            let before = (0..i).find(|&j| usable(j).is_some_and(|other| fingerprint.is_near(other)))?;
            Some((i, before))
        })
        .collect()
}
