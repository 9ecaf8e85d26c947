//! Pictures in the page: encoding, crops, overlays of masks.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, GrayImage, RgbImage, Rgba, RgbaImage};

use crate::model::Crop;

/// Pictures with more pixels than this become JPEG: a photograph takes a tenth of the bytes.
const SMALL: u32 = 160 * 160;
/// Pictures are not stored larger than this.
const SIDE: u32 = 768;
/// Quality of JPEG.
const QUALITY: u8 = 90;
/// Longer side of a crop.
const CROP: u32 = 256;
/// Colours of regions over photographs, in the order of the objectives; [`region_colour`] gives them to the
/// page.
const REGIONS: [[u8; 3]; 8] = [
    [255, 176, 0],
    [0, 194, 255],
    [255, 84, 140],
    [126, 220, 40],
    [190, 120, 255],
    [255, 120, 50],
    [0, 214, 160],
    [240, 240, 80],
];

/// A picture as a `data:` address.
pub fn data(image: &RgbImage) -> String {
    let longer = image.width().max(image.height());
    if longer > SIDE {
        let fit = |length: u32| (u64::from(length) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
        let filter = image::imageops::FilterType::CatmullRom;
        return encode(&image::imageops::resize(image, fit(image.width()), fit(image.height()), filter));
    }
    encode(image)
}

fn encode(image: &RgbImage) -> String {
    if image.width() * image.height() <= SMALL {
        return png(&DynamicImage::ImageRgb8(image.clone()));
    }
    let mut bytes = Vec::new();
    match JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(image) {
        Ok(()) => address("image/jpeg", &bytes),
        Err(_) => png(&DynamicImage::ImageRgb8(image.clone())),
    }
}

fn png(image: &DynamicImage) -> String {
    let mut bytes = Cursor::new(Vec::new());
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
    // Writing into memory does not fail, except for a picture without pixels, which is left out.
    match image.write_with_encoder(encoder) {
        Ok(()) => address("image/png", bytes.get_ref()),
        Err(_) => "data:,".into(),
    }
}

fn address(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

/// A place cut out of the picture, made square with a margin of a fifth; none if it lies outside.
pub fn cut(image: &RgbImage, crop: &Crop) -> Option<RgbImage> {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let (w, h) = (i64::from(crop.width), i64::from(crop.height));
    let (left, top) = (i64::from(crop.left), i64::from(crop.top));
    if w == 0 || h == 0 || left >= width || top >= height || left + w <= 0 || top + h <= 0 {
        return None;
    }
    let side = (w.max(h) * 14 / 10).max(8).min(width.min(height));
    let inside = |centre: i64, length: i64| (centre - side / 2).clamp(0, length - side);
    let (x, y) = (inside(left + w / 2, width), inside(top + h / 2, height));
    let cut = image::imageops::crop_imm(image, x as u32, y as u32, side as u32, side as u32).to_image();
    match side as u32 > CROP {
        true => Some(image::imageops::resize(&cut, CROP, CROP, image::imageops::FilterType::CatmullRom)),
        false => Some(cut),
    }
}

/// The colour of region `i` over photographs, for style sheets.
pub fn region_colour(i: usize) -> String {
    let [r, g, b] = REGIONS[i % REGIONS.len()];
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Regions as a transparent picture to lay over theirs: tinted inside, with an outline. `masks` are the
/// regions' numbers and masks, all of one size.
pub fn overlay(masks: &[(usize, &GrayImage)]) -> String {
    let Some((width, height)) = masks.first().map(|(_, mask)| mask.dimensions()) else {
        return "data:,".into();
    };
    let mut over = RgbaImage::new(width, height);
    for (i, mask) in masks {
        let inside = |x: i64, y: i64| {
            let there = (0..i64::from(width)).contains(&x) && (0..i64::from(height)).contains(&y);
            there && mask.get_pixel(x as u32, y as u32).0[0] > 127
        };
        let [r, g, b] = REGIONS[i % REGIONS.len()];
        // One pixel of outline at 128, two at 256 and above.
        let reach = i64::from(width.max(height) / 160).clamp(1, 3);
        for (x, y, pixel) in over.enumerate_pixels_mut() {
            let (x, y) = (i64::from(x), i64::from(y));
            if !inside(x, y) {
                continue;
            }
            let edge = [(-reach, 0), (reach, 0), (0, -reach), (0, reach)];
            let outline = edge.iter().any(|(dx, dy)| !inside(x + dx, y + dy));
            *pixel = Rgba([r, g, b, if outline { 255 } else { 56 }]);
        }
    }
    png(&DynamicImage::ImageRgba8(over))
}

/// The largest connected parts of a mask as places, at most `most`, largest first.
pub fn places(name: &str, mask: &GrayImage, most: usize) -> Vec<Crop> {
    let (width, height) = mask.dimensions();
    let mut seen = vec![false; (width * height) as usize];
    let inside = |x: u32, y: u32| mask.get_pixel(x, y).0[0] > 127;
    let mut found: Vec<(usize, Crop)> = Vec::new();
    for start in 0..width * height {
        if seen[start as usize] || !inside(start % width, start / width) {
            continue;
        }
        let (mut waiting, mut size) = (vec![start], 0);
        let (mut low, mut high) = ((width, height), (0, 0));
        seen[start as usize] = true;
        while let Some(at) = waiting.pop() {
            let (x, y) = (at % width, at / width);
            size += 1;
            low = (low.0.min(x), low.1.min(y));
            high = (high.0.max(x), high.1.max(y));
            for y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let next = y * width + x;
                    if !seen[next as usize] && inside(x, y) {
                        seen[next as usize] = true;
                        waiting.push(next);
                    }
                }
            }
        }
        let (w, h) = (high.0 - low.0 + 1, high.1 - low.1 + 1);
        found.push((size, Crop::new(name, low.0 as i32, low.1 as i32, w, h)));
    }
    found.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    found.into_iter().take(most).map(|(_, crop)| crop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_beyond_the_edge_is_cut_inside_and_one_outside_is_none() {
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let corner = cut(&image, &Crop::new("hand", 56, -4, 20, 10)).unwrap();
        assert_eq!(corner.dimensions(), (28, 28));
        assert_eq!(corner.get_pixel(27, 0).0, [63, 0, 0], "the upper right corner");
        assert_eq!(cut(&image, &Crop::new("hand", 70, 0, 5, 5)), None);
        assert_eq!(cut(&image, &Crop::new("hand", 0, 0, 0, 5)), None);
        assert_eq!(cut(&image, &Crop::new("all", -9, -9, 900, 900)).unwrap().dimensions(), (48, 48));
    }

    #[test]
    fn two_hands_are_two_places() {
        let mut mask = GrayImage::new(40, 30);
        for (left, top, side) in [(2, 3, 5), (20, 10, 8)] {
            for (x, y) in (0..side).flat_map(|x| (0..side).map(move |y| (x, y))) {
                mask.put_pixel(left + x, top + y, image::Luma([255]));
            }
        }
        let expected = [Crop::new("hand", 20, 10, 8, 8), Crop::new("hand", 2, 3, 5, 5)];
        assert_eq!(places("hand", &mask, 4), expected);
        assert_eq!(places("hand", &mask, 1), expected[..1]);
        assert_eq!(places("hand", &GrayImage::new(5, 5), 4), []);
    }
}
