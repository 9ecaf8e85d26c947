//! Control images of edges: Canny's, white on black, and soft ones, as bright as the picture's change.

use image::{GrayImage, Luma, RgbImage};
use imageproc::edges::canny;
use imageproc::filter::gaussian_blur_f32;
use imageproc::gradients::sobel_gradients;

/// Thresholds of the gradient that the usual preprocessors have, OpenCV's 100 and 200.
const THRESHOLDS: (f32, f32) = (100.0, 200.0);
/// Blur before soft edges, in pixels of a picture of 512.
const BLUR: f32 = 1.5;
/// Share of the pixels that may be brighter than white.
const BRIGHTEST: f64 = 0.005;

/// Canny's edges (Canny 1986), one pixel wide.
pub fn canny_edges(photo: &RgbImage) -> RgbImage {
    let gray = image::imageops::grayscale(photo);
    rgb(&canny(&gray, THRESHOLDS.0, THRESHOLDS.1))
}

/// Length of the gradient of the blurred picture (Sobel), the strongest edges white. Networks for soft edges were
/// trained on HED's or PiDiNet's, which know objects from texture; these do not.
pub fn soft_edges(photo: &RgbImage) -> RgbImage {
    let gray = image::imageops::grayscale(photo);
    let side = photo.width().max(photo.height()) as f32;
    let gradient = sobel_gradients(&gaussian_blur_f32(&gray, (BLUR * side / 512.0).max(0.5)));
    let mut sorted: Vec<u16> = gradient.pixels().map(|Luma([v])| *v).collect();
    sorted.sort_unstable();
    let white = sorted.get(((1.0 - BRIGHTEST) * sorted.len() as f64) as usize).copied().unwrap_or(1).max(1);
    let scaled = |v: u16| (f32::from(v) / f32::from(white) * 255.0).min(255.0) as u8;
    rgb(&GrayImage::from_fn(photo.width(), photo.height(), |x, y| {
        Luma([scaled(gradient.get_pixel(x, y)[0])])
    }))
}

fn rgb(gray: &GrayImage) -> RgbImage {
    image::DynamicImage::from(gray.clone()).to_rgb8()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A white square on black.
    fn square() -> RgbImage {
        RgbImage::from_fn(64, 64, |x, y| {
            let inside = (16..48).contains(&x) && (16..48).contains(&y);
            image::Rgb([if inside { 255 } else { 0 }; 3])
        })
    }

    #[test]
    fn edges_are_where_the_picture_changes_and_nowhere_else() {
        for edges in [canny_edges(&square()), soft_edges(&square())] {
            let bright = |x: u32, y: u32| edges.get_pixel(x, y)[0];
            assert!((14..19).any(|x| bright(x, 32) > 200), "the left side has an edge");
            assert!((0..12).chain(22..42).all(|x| bright(x, 32) < 20), "flat parts have none");
        }
        let thin = canny_edges(&square());
        assert!(thin.pixels().all(|p| p[0] == 0 || p[0] == 255));
    }

    #[test]
    fn a_flat_picture_has_no_edges() {
        let flat = RgbImage::from_pixel(40, 24, image::Rgb([90, 120, 30]));
        assert!(canny_edges(&flat).pixels().chain(soft_edges(&flat).pixels()).all(|p| p.0 == [0; 3]));
    }
}
