//! Operations on the structure of tensors: values moved and values of neighbours averaged.

use super::array::{Array, add_scaled};
use super::product::each_row;
use super::{Reference, values};
use crate::{Lanes, WeightRef};

/// Concatenation along the last dimension.
pub(super) fn concat(a: &Array, b: &Array) -> Array {
    let mut values = Vec::new();
    for r in 0..a.first() * a.positions() {
        values.extend_from_slice(a.row(r));
        values.extend_from_slice(b.row(r));
    }
    Array::new(&a.with_channels(a.channels() + b.channels()), values)
}

/// The first `first` channels, and the others.
pub(super) fn split(x: &Array, first: usize) -> (Array, Array) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for r in 0..x.first() * x.positions() {
        a.extend_from_slice(&x.row(r)[..first]);
        b.extend_from_slice(&x.row(r)[first..]);
    }
    (Array::new(&x.with_channels(first), a), Array::new(&x.with_channels(x.channels() - first), b))
}

/// The source position of every target position of one image.
fn sources((h, w): (usize, usize), (out_h, out_w): (usize, usize)) -> Vec<usize> {
    let position = |i: usize| (i / out_w * h / out_h) * w + (i % out_w) * w / out_w;
    (0..out_h * out_w).map(position).collect()
}

/// Nearest-neighbour resize.
pub(super) fn resize_nearest(x: &Array, size: (usize, usize)) -> Array {
    let mut values = Vec::new();
    for n in 0..x.first() {
        for source in sources((x.shape()[1], x.shape()[2]), size) {
            values.extend_from_slice(x.row(n * x.positions() + source));
        }
    }
    Array::new(&[x.first(), size.0, size.1, x.channels()], values)
}

/// Every source position sums the cotangents of its copies.
pub(super) fn resize_nearest_vjp(g: &Array, input: (usize, usize)) -> Array {
    let (channels, positions) = (g.channels(), input.0 * input.1);
    let mut values = vec![0.0; g.first() * positions * channels];
    for lane in 0..g.first() {
        for (to, source) in sources(input, (g.shape()[1], g.shape()[2])).into_iter().enumerate() {
            let start = (lane * positions + source) * channels;
            add_scaled(&mut values[start..start + channels], 1.0, g.row(lane * g.positions() + to));
        }
    }
    Array::new(&[g.first(), input.0, input.1, channels], values)
}

/// Positions of the window that ends up at `to` of the pooled image.
fn window((h, w): (usize, usize), to: usize) -> impl Iterator<Item = usize> {
    let (y, x) = (to / w.div_ceil(2), to % w.div_ceil(2));
    (2 * y..h.min(2 * y + 2)).flat_map(move |y| (2 * x..w.min(2 * x + 2)).map(move |x| y * w + x))
}

/// Means of 2x2 windows.
pub(super) fn avg_pool2(x: &Array) -> Array {
    let (h, w) = (x.shape()[1], x.shape()[2]);
    let (size, channels) = ((h.div_ceil(2), w.div_ceil(2)), x.channels());
    let mut values = vec![0.0; x.first() * size.0 * size.1 * channels];
    for (i, mean) in values.chunks_exact_mut(channels).enumerate() {
        let (n, to) = (i / (size.0 * size.1), i % (size.0 * size.1));
        let count = window((h, w), to).count() as f64;
        for position in window((h, w), to) {
            add_scaled(mean, 1.0 / count, x.row(n * x.positions() + position));
        }
    }
    Array::new(&[x.first(), size.0, size.1, channels], values)
}

/// Every cell of a window has its share of the mean's cotangent.
pub(super) fn avg_pool2_vjp(g: &Array, input: (usize, usize)) -> Array {
    let (channels, positions) = (g.channels(), input.0 * input.1);
    let mut values = vec![0.0; g.first() * positions * channels];
    for i in 0..g.first() * g.positions() {
        let (lane, to) = (i / g.positions(), i % g.positions());
        let count = window(input, to).count() as f64;
        for position in window(input, to) {
            let start = (lane * positions + position) * channels;
            add_scaled(&mut values[start..start + channels], 1.0 / count, g.row(i));
        }
    }
    Array::new(&[g.first(), input.0, input.1, channels], values)
}

/// Rows of a table.
pub(super) fn embedding(ids: &[u32], shape: (usize, usize), table: WeightRef<'_, Reference>) -> Array {
    let table = values(table);
    let values = ids.iter().flat_map(|&id| table.row(id as usize).to_vec()).collect();
    Array::new(&[shape.0, shape.1, table.channels()], values)
}

/// Every row of the table sums the cotangents of the tokens that used it, `[K, V, C]`.
pub(super) fn embedding_vjp_params(g: &Array, ids: &[u32], rows: usize, lanes: &Lanes) -> Array {
    let channels = g.channels();
    let mut values = vec![0.0; lanes.objectives() * rows * channels];
    each_row(g, lanes, |k, row, token| {
        let start = (k * rows + ids[token] as usize) * channels;
        add_scaled(&mut values[start..start + channels], 1.0, g.row(row));
    });
    Array::new(&[lanes.objectives(), rows, channels], values)
}

/// One token of each sample.
pub(super) fn pick_token(x: &Array, index: &[usize]) -> Array {
    let rows = index.iter().enumerate();
    let values = rows.flat_map(|(n, &t)| x.row(n * x.positions() + t).to_vec()).collect();
    Array::new(&[x.first(), x.channels()], values)
}

/// The cotangent at the picked token, zero elsewhere.
pub(super) fn pick_token_vjp(g: &Array, index: &[usize], tokens: usize, lanes: &Lanes) -> Array {
    let channels = g.channels();
    let mut values = vec![0.0; lanes.len() * tokens * channels];
    for lane in 0..lanes.len() {
        let start = (lane * tokens + index[lanes.sample(lane)]) * channels;
        values[start..start + channels].copy_from_slice(g.row(lane));
    }
    Array::new(&[lanes.len(), tokens, channels], values)
}
