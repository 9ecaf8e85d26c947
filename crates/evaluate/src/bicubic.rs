//! Both bicubic resizers that judges were trained and are run with. Their kernel is the same (Keys 1981 with
//! a = -0.5, widened by the scale where a picture shrinks); Pillow's works in bytes with fixed-point weights
//! and rounds between its two passes, torch's (`antialias=True`) works in floats and may leave 0..1.

use image::RgbImage;

/// Weights of one output: its first input, and a weight for each from there.
struct Window {
    first: usize,
    weights: Vec<f64>,
}

fn kernel(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match x {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

/// The windows of a line of `inputs` that becomes one of `outputs`.
fn windows(inputs: usize, outputs: usize) -> Vec<Window> {
    let scale = inputs as f64 / outputs as f64;
    let widened = scale.max(1.0);
    let support = 2.0 * widened;
    (0..outputs)
        .map(|output| {
            let centre = (output as f64 + 0.5) * scale;
            // Both programs cut towards zero.
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(inputs);
            let weights = (first..end).map(|i| kernel((i as f64 - centre + 0.5) / widened));
            let mut weights: Vec<f64> = weights.collect();
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
            Window { first, weights }
        })
        .collect()
}

/// `image.resize((width, height), BICUBIC)` of Pillow, byte for byte.
pub fn pillow(picture: &RgbImage, width: usize, height: usize) -> RgbImage {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let fixed = |windows: Vec<Window>| -> Vec<(usize, Vec<i64>)> {
        let whole = |weight: f64| (weight * f64::from(1u32 << BITS)).round() as i64;
        windows.into_iter().map(|w| (w.first, w.weights.into_iter().map(whole).collect())).collect()
    };
    let mut bytes = picture.as_raw().clone();
    if width != w {
        let columns = fixed(windows(w, width));
        let mut rows = Vec::with_capacity(width * h * 3);
        for row in bytes.chunks_exact(w * 3) {
            for (first, weights) in &columns {
                rows.extend((0..3).map(|channel| sum(weights, |i| row[(first + i) * 3 + channel])));
            }
        }
        bytes = rows;
    }
    if height != h {
        let stride = width * 3;
        let rows = fixed(windows(h, height));
        let row = |(first, weights): &(usize, Vec<i64>)| -> Vec<u8> {
            (0..stride).map(|at| sum(weights, |i| bytes[(first + i) * stride + at])).collect()
        };
        bytes = rows.iter().flat_map(row).collect();
    }
    // The number of bytes is that of the size by construction.
    RgbImage::from_raw(width as u32, height as u32, bytes).unwrap_or_default()
}

/// Bits after the point of Pillow's weights for bytes.
const BITS: u32 = 32 - 8 - 2;

fn sum(weights: &[i64], byte: impl Fn(usize) -> u8) -> u8 {
    let half = 1i64 << (BITS - 1);
    let sum = weights.iter().enumerate().fold(half, |sum, (i, weight)| sum + weight * i64::from(byte(i)));
    (sum >> BITS).clamp(0, 255) as u8
}

/// `interpolate(size=(height, width), mode="bicubic", antialias=True)` of torch for channels
/// `[C, h, w]` of floats.
pub fn torch(values: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Vec<f32> {
    let mut values = values.to_vec();
    if width != w {
        let columns = windows(w, width);
        let line =
            |row: &[f32]| -> Vec<f32> { columns.iter().map(|window| mix(window, |i| row[i])).collect() };
        values = values.chunks_exact(w).flat_map(line).collect();
    }
    if height != h {
        let rows = windows(h, height);
        let channel = |channel: &[f32]| -> Vec<f32> {
            let row = |window: &Window| -> Vec<f32> {
                (0..width).map(|x| mix(window, |i| channel[i * width + x])).collect()
            };
            rows.iter().flat_map(row).collect()
        };
        values = values.chunks_exact(h * width).flat_map(channel).collect();
    }
    values
}

fn mix(window: &Window, value: impl Fn(usize) -> f32) -> f32 {
    let terms =
        window.weights.iter().enumerate().map(|(i, weight)| weight * f64::from(value(window.first + i)));
    terms.sum::<f64>() as f32
}

/// `interpolate(size=(to, to), mode="bicubic")` of torch, without antialiasing, for a square of floats: the
/// kernel has a = -0.75 there, and edges are repeated.
pub fn torch_plain(values: &[f32], from: usize, to: usize) -> Vec<f32> {
    if from == to {
        return values.to_vec();
    }
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let taps: Vec<[(usize, f64); 4]> = (0..to)
        .map(|i| {
            let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
            let (first, t) = (at.floor(), at - at.floor());
            let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
            let place = |k: usize| (first + k as f64 - 1.0).clamp(0.0, from as f64 - 1.0) as usize;
            std::array::from_fn(|k| (place(k), weights[k]))
        })
        .collect();
    let value = |row: &[(usize, f64); 4], column: &[(usize, f64); 4]| {
        let line = |y: usize| column.iter().map(|(x, w)| w * f64::from(values[y * from + x])).sum::<f64>();
        row.iter().map(|(y, w)| w * line(*y)).sum::<f64>() as f32
    };
    taps.iter().flat_map(|row| taps.iter().map(move |column| value(row, column))).collect()
}
