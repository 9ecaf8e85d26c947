//! Control images of edges: Canny's, white on black, and soft ones, as bright as the picture's change.
//!
//! Canny's method is here, in fifty lines, because the crate that has it brings forty others.

use image::imageops::{blur, grayscale};
use image::{GrayImage, Luma, RgbImage};

/// Thresholds of the gradient that the usual preprocessors give OpenCV's `Canny`.
const THRESHOLDS: (f32, f32) = (100.0, 200.0);
/// Blur before soft edges, in pixels of a picture of 512.
const BLUR: f32 = 1.5;
/// Share of the pixels that may be brighter than white.
const BRIGHTEST: f64 = 0.005;

/// Sobel's derivatives along x and y.
fn gradients(gray: &GrayImage) -> Vec<(f32, f32)> {
    let (width, height) = gray.dimensions();
    let value = |x: u32, dx: i32, y: u32, dy: i32| {
        let at = |i: u32, d: i32, n: u32| i.saturating_add_signed(d).min(n - 1);
        f32::from(gray.get_pixel(at(x, dx, width), at(y, dy, height))[0])
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    pixels
        .map(|(x, y)| {
            let along = |f: &dyn Fn(i32, i32) -> f32| {
                [(-1, 1.0), (0, 2.0), (1, 1.0)].map(|(i, w)| w * (f(1, i) - f(-1, i))).iter().sum::<f32>()
            };
            (along(&|d, i| value(x, d, y, i)), along(&|d, i| value(x, i, y, d)))
        })
        .collect()
}

/// Canny's edges (Canny 1986), one pixel wide: pixels whose gradient is a maximum across the edge, from the
/// lower threshold on where they hang together with one above the higher. Lengths are |dx| + |dy|, as
/// OpenCV's.
pub fn canny_edges(photo: &RgbImage) -> RgbImage {
    let gray = grayscale(photo);
    let (width, height) = (gray.width() as usize, gray.height() as usize);
    let gradients = gradients(&gray);
    let length = |x: usize, y: usize| {
        let inside = x < width && y < height;
        if inside { gradients[y * width + x].0.abs() + gradients[y * width + x].1.abs() } else { 0.0 }
    };
    let is_maximum = |x: usize, y: usize| {
        let (dx, dy) = gradients[y * width + x];
        // The neighbours across the edge, in the nearest of eight directions.
        let tan = (dy / dx).abs();
        let (i, j) = match () {
            () if tan < 0.414 => (1, 0),
            () if tan > 2.414 || dx == 0.0 => (0, 1),
            () if dx * dy > 0.0 => (1, 1),
            () => (1, -1),
        };
        let at = |sign: isize| length(x.wrapping_add_signed(sign * i), y.wrapping_add_signed(sign * j));
        length(x, y) > at(-1) && length(x, y) >= at(1)
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let kept: Vec<bool> = pixels.map(|(x, y)| length(x, y) > THRESHOLDS.0 && is_maximum(x, y)).collect();
    let mut edges = GrayImage::new(gray.width(), gray.height());
    let mut open: Vec<(usize, usize)> = (0..width * height)
        .filter(|&i| kept[i] && length(i % width, i / width) > THRESHOLDS.1)
        .map(|i| (i % width, i / width))
        .collect();
    while let Some((x, y)) = open.pop() {
        let pixel = edges.get_pixel_mut(x as u32, y as u32);
        if std::mem::replace(&mut pixel[0], 255) == 255 {
            continue;
        }
        let near = |i: usize, n: usize| i.saturating_sub(1)..(i + 2).min(n);
        open.extend(
            near(y, height)
                .flat_map(|v| near(x, width).map(move |u| (u, v)))
                .filter(|(u, v)| kept[v * width + u]),
        );
    }
    rgb(edges)
}

/// Length of the gradient of the blurred picture, the strongest edges white. Networks for soft edges were
/// trained on HED's or PiDiNet's, which know objects from texture; these do not.
pub fn soft_edges(photo: &RgbImage) -> RgbImage {
    let side = photo.width().max(photo.height()) as f32;
    let gray = blur(&grayscale(photo), (BLUR * side / 512.0).max(0.5));
    let lengths: Vec<f32> = gradients(&gray).iter().map(|(dx, dy)| dx.hypot(*dy)).collect();
    let mut sorted = lengths.clone();
    sorted.sort_by(f32::total_cmp);
    let white =
        sorted.get(((1.0 - BRIGHTEST) * sorted.len() as f64) as usize).copied().unwrap_or(1.0).max(1.0);
    let scaled = lengths.iter().map(|length| (length / white * 255.0).min(255.0) as u8).collect();
    rgb(GrayImage::from_raw(gray.width(), gray.height(), scaled).unwrap_or_default())
}

fn rgb(gray: GrayImage) -> RgbImage {
    let colour = |Luma([v]): &Luma<u8>| image::Rgb([*v; 3]);
    RgbImage::from_fn(gray.width(), gray.height(), |x, y| colour(gray.get_pixel(x, y)))
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
        let white = thin.pixels().filter(|p| p[0] == 255).count();
        assert!((100..200).contains(&white), "four sides of 32 pixels, one pixel wide: {white}");
        assert!(thin.pixels().all(|p| p[0] == 0 || p[0] == 255));
    }

    /// A weak edge counts where it goes on from a strong one.
    #[test]
    fn a_weak_edge_needs_a_strong_one() {
        let step = |height: u32, strong: u32| {
            RgbImage::from_fn(40, height, |x, y| {
                image::Rgb(
                    [if x < 20 {
                        60
                    } else if y < strong {
                        255
                    } else {
                        95
                    }; 3],
                )
            })
        };
        let white =
            |picture: &RgbImage, y: u32| (0..40).filter(|&x| picture.get_pixel(x, y)[0] == 255).count();
        assert_eq!(white(&canny_edges(&step(40, 0)), 30), 0);
        assert_eq!(white(&canny_edges(&step(40, 20)), 30), 1);
    }

    #[test]
    fn a_flat_picture_has_no_edges() {
        let flat = RgbImage::from_pixel(40, 24, image::Rgb([90, 120, 30]));
        assert!(canny_edges(&flat).pixels().chain(soft_edges(&flat).pixels()).all(|p| p.0 == [0; 3]));
    }
}
