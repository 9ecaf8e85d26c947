//! From a picture to the values that a vision network reads, `[3, side, side]`: what decides a judge's
//! numbers more than anything but its weights.

use image::RgbImage;
use image::imageops::crop_imm;

use crate::bicubic;

/// CLIP's means and deviations.
pub(crate) const CLIP: Normal = Normal {
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};
/// ImageNet's.
pub(crate) const IMAGENET: Normal = Normal { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

/// Means and deviations of colours in 0..1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Normal {
    mean: [f32; 3],
    deviation: [f32; 3],
}

/// The way a picture gets into its square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// The shorter side is resized by Pillow's bicubic, and the middle cut out: transformers' CLIP processor.
    Crop,
    /// The longer side is resized by torch's bicubic with antialiasing, and zeros are put around: HPSv2.
    Pad,
}

/// The values that CLIP's vision tower reads of a picture, `[3, side, side]`.
pub fn preprocessed(picture: &RgbImage, side: usize, fit: Fit) -> Vec<f32> {
    values(picture, side, fit, CLIP)
}

/// The normalised values of a picture.
pub(crate) fn values(picture: &RgbImage, side: usize, fit: Fit, normal: Normal) -> Vec<f32> {
    let colours = match fit {
        Fit::Crop => planes(&cropped(picture, side)),
        Fit::Pad => padded(picture, side),
    };
    let Normal { mean, deviation } = normal;
    let planes = colours.chunks_exact(side * side).zip(mean.into_iter().zip(deviation));
    planes.flat_map(|(plane, (mean, deviation))| plane.iter().map(move |v| (v - mean) / deviation)).collect()
}

/// Colours in 0..1, `[3, height, width]`.
fn planes(picture: &RgbImage) -> Vec<f32> {
    let raw = picture.as_raw();
    (0..3).flat_map(|channel| raw.iter().skip(channel).step_by(3).map(|v| f32::from(*v) / 255.0)).collect()
}

/// The middle of the picture whose shorter side was resized to `side`.
pub(crate) fn cropped(picture: &RgbImage, side: usize) -> RgbImage {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let longer = |long: usize, short: usize| (side as f64 * long as f64 / short as f64) as usize;
    let (width, height) = if w <= h { (side, longer(h, w)) } else { (longer(w, h), side) };
    let resized = bicubic::pillow(picture, width, height);
    let (left, top) = ((width - side) / 2, (height - side) / 2);
    crop_imm(&resized, left as u32, top as u32, side as u32, side as u32).to_image()
}

fn padded(picture: &RgbImage, side: usize) -> Vec<f32> {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let scale = side as f64 / w.max(h) as f64;
    let resized = |length: usize| ((length as f64 * scale).round_ties_even() as usize).max(1);
    let (width, height) = (resized(w), resized(h));
    let colours = bicubic::torch(&planes(picture), (h, w), (height, width));
    if (width, height) == (side, side) {
        return colours;
    }
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    let mut square = vec![0.0; 3 * side * side];
    for (line, row) in colours.chunks_exact(width).enumerate() {
        let (channel, y) = (line / height, line % height);
        let start = (channel * side + top + y) * side + left;
        square[start..start + width].copy_from_slice(row);
    }
    square
}
