//! Crops a rotated part of a photograph as a network's input.
//!
//! MediaPipe warps with OpenCV: the corners of the region meet the corners of the crop, pixel (i, j)
//! of the crop is read at those very coordinates (not at its centre), bilinearly, without smoothing
//! before reduction, and rounded to 8 bits. Networks trained on such crops give the published
//! scores on such crops only, so the same is done here.

use image::RgbImage;

use crate::geometry::RotatedRect;

/// Pixels outside the photograph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Black.
    Black,
    /// The nearest pixel.
    Nearest,
}

/// Input values for black (0) and white (255).
pub type Range = (f32, f32);

/// Reads `region` as a row-major `[side, side, 3]` RGB image with values in `range`.
pub fn crop(photo: &RgbImage, region: &RotatedRect, side: usize, border: Border, range: Range) -> Vec<f32> {
    let scale = (range.1 - range.0) / 255.0;
    let origin = region.point(0.0, 0.0).map(f64::from);
    let ends = [region.point(1.0, 0.0), region.point(0.0, 1.0)];
    let [right, down] = ends
        .map(|[x, y]| [(f64::from(x) - origin[0]) / side as f64, (f64::from(y) - origin[1]) / side as f64]);
    let mut out = Vec::with_capacity(side * side * 3);
    for j in 0..side {
        for i in 0..side {
            let at = |axis: usize| origin[axis] + i as f64 * right[axis] + j as f64 * down[axis];
            let rgb = sample(photo, at(0), at(1), border);
            out.extend(rgb.map(|v| v.round() * scale + range.0));
        }
    }
    out
}

/// The colour at a point, bilinear between the four pixels around it.
fn sample(photo: &RgbImage, x: f64, y: f64, border: Border) -> [f32; 3] {
    // OpenCV interpolates in steps of 1/32 pixel.
    let (x, y) = ((x * 32.0).round() / 32.0, (y * 32.0).round() / 32.0);
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = ((x - x0) as f32, (y - y0) as f32);
    let (x0, y0) = (x0 as i64, y0 as i64);
    let (w, h) = (i64::from(photo.width()), i64::from(photo.height()));
    let pixels = photo.as_raw();
    let pixel = |x: i64, y: i64| -> [f32; 3] {
        let inside = (0..w).contains(&x) && (0..h).contains(&y);
        if !inside && border == Border::Black {
            return [0.0; 3];
        }
        let at = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)) as usize * 3;
        [pixels[at], pixels[at + 1], pixels[at + 2]].map(f32::from)
    };
    let (a, b) = (pixel(x0, y0), pixel(x0 + 1, y0));
    let (c, d) = (pixel(x0, y0 + 1), pixel(x0 + 1, y0 + 1));
    std::array::from_fn(|i| {
        let top = a[i] + (b[i] - a[i]) * fx;
        let bottom = c[i] + (d[i] - c[i]) * fx;
        top + (bottom - top) * fy
    })
}
