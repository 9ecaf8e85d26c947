//! A part of a picture in another size. It is here and nowhere else, for two kinds of pixels: each kind has
//! its filters for every instruction set, and whoever names them compiles them.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

/// A rectangle in pixels, not necessarily whole ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Distance from the left edge of the picture.
    pub left: f64,
    /// Distance from the top edge.
    pub top: f64,
    /// Extent to the right.
    pub width: f64,
    /// Extent downwards.
    pub height: f64,
}

/// Pixels that are not of the size that was named, or a part that is not inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResizeError(String);

/// A part of RGB bytes `[height, width, 3]` in another size (widths before heights), by Lanczos filtering
/// with three lobes, which is widened when shrinking, so that nothing aliases. Pixels beside the part take
/// part in the filter. Nothing is changed where every pixel falls on a pixel.
pub fn colours(rgb: &[u8], from: (u32, u32), part: &Part, to: (u32, u32)) -> Result<Vec<u8>, ResizeError> {
    let source = TypedImageRef::<U8x3>::from_buffer(from.0, from.1, rgb).map_err(told)?;
    let target = resized(&source, part, to, FilterType::Lanczos3)?;
    Ok(target.pixels().iter().flat_map(|pixel| pixel.0).collect())
}

/// The same of one value a pixel, `[height, width]`, linear between pixels: nothing overshoots.
pub fn weights(
    values: &[f32],
    from: (u32, u32),
    part: &Part,
    to: (u32, u32),
) -> Result<Vec<f32>, ResizeError> {
    let pixels: Vec<F32> = values.iter().map(|&value| F32::new(value)).collect();
    let source = TypedImageRef::new(from.0, from.1, &pixels).map_err(told)?;
    let target = resized(&source, part, to, FilterType::Bilinear)?;
    Ok(target.pixels().iter().map(|pixel| pixel.0).collect())
}

fn resized<P: PixelTrait + Default>(
    source: &TypedImageRef<'_, P>,
    part: &Part,
    to: (u32, u32),
    filter: FilterType,
) -> Result<TypedImage<'static, P>, ResizeError> {
    let mut target = TypedImage::new(to.0, to.1);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(
        part.left,
        part.top,
        part.width,
        part.height,
    );
    Resizer::new().resize_typed(source, &mut target, &options).map_err(told)?;
    Ok(target)
}

fn told(error: impl std::fmt::Display) -> ResizeError {
    ResizeError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Part = Part { left: 0.0, top: 0.0, width: 4.0, height: 2.0 };

    #[test]
    fn the_same_size_is_the_same_picture_and_half_of_it_the_mean_of_a_flat_one() {
        let rgb: Vec<u8> = (0..24).map(|i| 9 * i).collect();
        assert_eq!(colours(&rgb, (4, 2), &WHOLE, (4, 2)).as_deref(), Ok(&rgb[..]));
        assert_eq!(colours(&[77; 24], (4, 2), &WHOLE, (2, 1)), Ok(vec![77; 6]));
        let right = Part { left: 2.0, width: 2.0, ..WHOLE };
        let values = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
        assert_eq!(weights(&values, (4, 2), &right, (2, 2)), Ok(vec![1.0; 4]));
        let wide = weights(&values, (4, 2), &WHOLE, (8, 2)).expect("weights");
        assert!(wide.iter().all(|v| (0.0..=1.0).contains(v)) && wide[3] > 0.0 && wide[3] < 0.5, "{wide:?}");
    }

    #[test]
    fn pixels_of_another_size_and_parts_outside_are_told() {
        assert!(colours(&[0; 23], (4, 2), &WHOLE, (2, 1)).is_err());
        let outside = Part { left: 3.0, ..WHOLE };
        let error = weights(&[0.0; 8], (4, 2), &outside, (2, 1)).expect_err("outside");
        assert!(!error.to_string().is_empty());
    }
}
