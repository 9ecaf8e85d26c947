//! From the display list to pixels: the picture, and exact masks of the visible part of each region.

use image::{GrayImage, RgbImage};
use tiny_skia::{
    Color, FillRule, GradientStop, LinearGradient, Paint, Pixmap, Point, RadialGradient, Shader, SpreadMode,
    Transform,
};

use crate::canvas::{Fill, Region, SIDE, Shape};
use crate::colour::Rgb;
use crate::geometry::V2;

/// The picture and its two masks (255 inside, 0 outside), all `size` x `size`.
pub struct Rendered {
    /// Colours.
    pub image: RgbImage,
    /// Pixels at least half covered by visible faces.
    pub face: GrayImage,
    /// Pixels at least half covered by visible hands.
    pub hand: GrayImage,
}

/// Draws the shapes at `size` x `size` pixels.
pub fn render(shapes: &[Shape], size: u32) -> Rendered {
    // Below this size lines are thinner than the rasteriser's own sub-pixels: draw larger and average.
    let factor = if size < 200 { 2 } else { 1 };
    let scale = (size * factor) as f32 / SIDE;
    let colours = paint(shapes, size * factor, |shape| Some(shader(&shape.fill, scale)));
    // Masks are a picture too: faces red, hands green, all else black. Later shapes cover earlier ones, and
    // red and green share a pixel's coverage, so that no pixel is more than half of both.
    let first = shapes.iter().position(|s| s.region != Region::Rest).unwrap_or(shapes.len());
    let regions = paint(&shapes[first..], size * factor, |shape| match (&shape.fill, shape.region) {
        (Fill::Glaze(..), _) => None,
        (_, Region::Rest) => Some(solid(Rgb(0, 0, 0), 1.0)),
        (_, Region::Face) => Some(solid(Rgb(255, 0, 0), 1.0)),
        (_, Region::Hand) => Some(solid(Rgb(0, 255, 0), 1.0)),
    });
    let colour = |channel: usize, x, y| average(&colours, factor, channel, x, y);
    let mask = |channel: usize, other: usize| {
        GrayImage::from_fn(size, size, |x, y| {
            let [mine, theirs] = [channel, other].map(|c| average(&regions, factor, c, x, y));
            // Half and half is rounded up twice: the first channel, the face's, has it.
            let more = mine > theirs || (mine == theirs && channel < other);
            image::Luma([if mine >= 128 && more { 255 } else { 0 }])
        })
    };
    Rendered {
        image: RgbImage::from_fn(size, size, |x, y| {
            image::Rgb([colour(0, x, y), colour(1, x, y), colour(2, x, y)])
        }),
        face: mask(0, 1),
        hand: mask(1, 0),
    }
}

fn average(pixels: &Pixmap, factor: u32, channel: usize, x: u32, y: u32) -> u8 {
    let (data, width) = (pixels.data(), pixels.width());
    let mut sum = 0u32;
    for dy in 0..factor {
        for dx in 0..factor {
            let at = (y * factor + dy) * width + x * factor + dx;
            sum += data[at as usize * 4 + channel] as u32;
        }
    }
    ((sum + factor * factor / 2) / (factor * factor)) as u8
}

fn paint(shapes: &[Shape], size: u32, ink: impl Fn(&Shape) -> Option<Shader<'static>>) -> Pixmap {
    let mut pixels = Pixmap::new(size, size).expect("sizes are clamped to what a pixmap can hold");
    pixels.fill(Color::BLACK);
    let zoom = Transform::from_scale(size as f32 / SIDE, size as f32 / SIDE);
    for shape in shapes {
        let b = shape.path.bounds();
        if b.right() < 0.0 || b.bottom() < 0.0 || b.left() > SIDE || b.top() > SIDE {
            continue;
        }
        if let Some(shader) = ink(shape) {
            let paint = Paint { shader, anti_alias: true, ..Paint::default() };
            pixels.fill_path(&shape.path, &paint, FillRule::Winding, zoom, None);
        }
    }
    pixels
}

fn colour(c: Rgb, alpha: f32) -> Color {
    Color::from_rgba8(c.0, c.1, c.2, (alpha * 255.0).round() as u8)
}

fn solid(c: Rgb, alpha: f32) -> Shader<'static> {
    Shader::SolidColor(colour(c, alpha))
}

fn point(p: V2) -> Point {
    Point::from_xy(p.x, p.y)
}

/// The ink of a fill at `scale` pixels per unit of the square. Shaders follow the path's own zoom.
fn shader(fill: &Fill, scale: f32) -> Shader<'static> {
    let stop = |at: f32, c: Rgb| GradientStop::new(at, colour(c, 1.0));
    let (made, instead) = match *fill {
        Fill::Flat(c) => return solid(c, 1.0),
        Fill::Glaze(c, alpha) => return solid(c, alpha),
        Fill::Shade(a, b, from, to) => {
            let stops = vec![stop(0.0, from), stop(1.0, to)];
            (LinearGradient::new(point(a), point(b), stops, SpreadMode::Pad, Transform::identity()), from)
        }
        Fill::Stripes(a, b, one, two) => {
            // The change takes about a pixel, or stripes would have stairs at every edge that is not upright.
            let soft = (0.5 / ((b - a).length() * scale)).clamp(0.001, 0.2);
            let stops = vec![
                stop(0.0, one.mix(two, 0.5)),
                stop(soft, one),
                stop(0.5 - soft, one),
                stop(0.5 + soft, two),
                stop(1.0 - soft, two),
                stop(1.0, one.mix(two, 0.5)),
            ];
            (LinearGradient::new(point(a), point(b), stops, SpreadMode::Repeat, Transform::identity()), one)
        }
        Fill::Glow(centre, radius, inner, outer) => {
            let stops = vec![stop(0.0, inner), stop(1.0, outer)];
            let c = point(centre);
            (RadialGradient::new(c, c, radius, stops, SpreadMode::Pad, Transform::identity()), inner)
        }
    };
    // A gradient without extent is its first colour.
    made.unwrap_or_else(|| solid(instead, 1.0))
}
