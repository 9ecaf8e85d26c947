//! Colours by the profile that a file carries, converted to sRGB, which networks are trained on.
//!
//! The intent is perceptual, as Pillow's `ImageCms.profileToProfile` has it. A profile that changes no colour
//! by more than a level, as the many versions of sRGB, leaves the pixels as they are stored.

use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// Steps of each channel at which a profile is compared with sRGB.
const STEPS: u16 = 9;
/// Levels by which a colour may differ from sRGB's without being converted.
const TOLERANCE: u8 = 1;

/// The picture in sRGB, or `None` if it is so already.
pub(crate) fn to_srgb(picture: &DynamicImage, profile: &[u8]) -> Result<Option<DynamicImage>, String> {
    let fail = |e: moxcms::CmsError| e.to_string();
    let profile = ColorProfile::new_from_slice(profile).map_err(fail)?;
    let srgb = ColorProfile::new_srgb();
    let alpha = picture.color().has_alpha();
    let (from, to) = match (profile.color_space, picture.color().has_color(), alpha) {
        (DataColorSpace::Rgb, _, false) => (Layout::Rgb, Layout::Rgb),
        (DataColorSpace::Rgb, _, true) => (Layout::Rgba, Layout::Rgba),
        (DataColorSpace::Gray, false, false) => (Layout::Gray, Layout::Rgb),
        (DataColorSpace::Gray, false, true) => (Layout::GrayAlpha, Layout::Rgba),
        (space, ..) => return Err(format!("it is one of {space:?}, which the pixels are not")),
    };
    let options = TransformOptions::default();
    let transform = profile.create_transform_8bit(from, &srgb, to, options).map_err(fail)?;
    let colours = samples(from);
    let mut converted = vec![0; colours.len() / channels(from) * channels(to)];
    transform.transform(&colours, &mut converted).map_err(fail)?;
    if is_same(&colours, from, &converted, to) {
        return Ok(None);
    }
    let (width, height) = (picture.width(), picture.height());
    let stored = match from {
        Layout::Gray => picture.to_luma8().into_raw(),
        Layout::GrayAlpha => picture.to_luma_alpha8().into_raw(),
        Layout::Rgba => picture.to_rgba8().into_raw(),
        _ => picture.to_rgb8().into_raw(),
    };
    let mut out = vec![0; stored.len() / channels(from) * channels(to)];
    transform.transform(&stored, &mut out).map_err(fail)?;
    let gray = matches!(from, Layout::Gray | Layout::GrayAlpha);
    let picture = match alpha {
        true => RgbaImage::from_raw(width, height, out).map(DynamicImage::ImageRgba8),
        // A gray picture stays one.
        false if gray => {
            let values = out.as_chunks::<3>().0.iter().map(|p| p[1]).collect();
            GrayImage::from_raw(width, height, values).map(DynamicImage::ImageLuma8)
        }
        false => RgbImage::from_raw(width, height, out).map(DynamicImage::ImageRgb8),
    };
    Ok(picture)
}

fn channels(layout: Layout) -> usize {
    match layout {
        Layout::Gray => 1,
        Layout::GrayAlpha => 2,
        Layout::Rgba => 4,
        _ => 3,
    }
}

/// Colours of the whole cube, opaque.
fn samples(layout: Layout) -> Vec<u8> {
    let level = |i: u16| (i * 255 / (STEPS - 1)) as u8;
    let count = STEPS;
    let mut out = Vec::new();
    match layout {
        Layout::Gray => out.extend(0..=255u8),
        Layout::GrayAlpha => out.extend((0..=255u8).flat_map(|v| [v, 255])),
        _ => {
            for r in 0..count {
                for g in 0..count {
                    for b in 0..count {
                        out.extend([level(r), level(g), level(b)]);
                        out.extend((layout == Layout::Rgba).then_some(255));
                    }
                }
            }
        }
    }
    out
}

fn is_same(colours: &[u8], from: Layout, converted: &[u8], to: Layout) -> bool {
    let pairs = colours.chunks_exact(channels(from)).zip(converted.chunks_exact(channels(to)));
    let near = |a: u8, b: u8| a.abs_diff(b) <= TOLERANCE;
    pairs.into_iter().all(|(a, b)| match from {
        Layout::Gray | Layout::GrayAlpha => b[..3].iter().all(|v| near(a[0], *v)),
        _ => a.iter().zip(b).all(|(a, b)| near(*a, *b)),
    })
}
