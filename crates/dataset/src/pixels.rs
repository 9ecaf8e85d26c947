//! From a decoded picture to 8-bit pixels: RGB for pictures, one channel for masks.

use image::DynamicImage;

use crate::diagnostic::{Diagnostic, Kind};

/// The colour under the transparent parts of a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Background {
    White,
    Black,
    /// Nothing: the colours are taken as stored.
    AsStored,
}

/// The pixels as RGB, `[H, W, 3]`.
pub(crate) fn rgb(picture: DynamicImage, background: Background) -> Vec<u8> {
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into_raw();
    }
    let under: u16 = match background {
        Background::White => 255,
        Background::Black => 0,
        Background::AsStored => return picture.into_rgb8().into_raw(),
    };
    let rgba = picture.into_rgba8().into_raw();
    let mut out = Vec::with_capacity(rgba.len() / 4 * 3);
    for pixel in rgba.as_chunks::<4>().0 {
        let alpha = u16::from(pixel[3]);
        let over = |v: u8| ((u16::from(v) * alpha + under * (255 - alpha) + 127) / 255) as u8;
        out.extend(pixel[..3].iter().map(|&v| over(v)));
    }
    out
}

/// The alpha channel as a gray picture; opaque where there is none.
pub(crate) fn alpha(picture: &DynamicImage) -> DynamicImage {
    let rgba = picture.to_rgba8();
    let values = rgba.pixels().map(|p| p.0[3]).collect();
    let gray = image::GrayImage::from_raw(rgba.width(), rgba.height(), values);
    DynamicImage::ImageLuma8(gray.unwrap_or_default())
}

/// True if a mask is all black and has its shape in its alpha channel: drawn in black on nothing.
pub(crate) fn is_shaped_by_alpha(picture: &DynamicImage) -> bool {
    if !picture.color().has_alpha() {
        return false;
    }
    let rgba = picture.to_rgba8();
    let mut pixels = rgba.pixels();
    let black = pixels.clone().all(|p| p.0[3] == 0 || p.0[..3] == [0; 3]);
    let first = pixels.next().map(|p| p.0[3]);
    black && pixels.any(|p| Some(p.0[3]) != first)
}

/// A mask's pixels, `[H, W]`: the brightest channel, so that a region may be painted in any strong colour, or
/// the alpha channel of a mask that is drawn in black on nothing.
pub(crate) fn mask(picture: DynamicImage) -> Result<Vec<u8>, Diagnostic> {
    // In eight bits a small number of sixteen is 0, and would pass for absence.
    let deep = match &picture {
        DynamicImage::ImageLuma16(gray) => gray.iter().copied().max(),
        DynamicImage::ImageRgb16(colours) => colours.iter().copied().max(),
        _ => None,
    };
    let values = match picture {
        DynamicImage::ImageLuma8(gray) => gray.into_raw(),
        shaped if is_shaped_by_alpha(&shaped) => alpha(&shaped).into_luma8().into_raw(),
        other => {
            let rgb = rgb(other, Background::Black);
            let brightest = |p: &[u8; 3]| p[0].max(p[1]).max(p[2]);
            rgb.as_chunks::<3>().0.iter().map(brightest).collect()
        }
    };
    let brightest = values.iter().copied().max().unwrap_or_default();
    if brightest > 127 || brightest == 0 && deep.unwrap_or_default() == 0 {
        return Ok(values);
    }
    let (found, white) = deep.map_or((brightest.into(), 255), |deep| (deep, u16::MAX));
    let text = format!(
        "its brightest value is {found} of {white}: a mask must be white ({white}) where the region is, all black \
         where there is none"
    );
    Err(Diagnostic::new(Kind::MaskDark, text))
}
