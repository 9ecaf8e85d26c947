//! Applies a [`Draw`] to pixels: pictures by Lanczos filtering, masks by exact area straight to latent cells.
//!
//! Both read the same rectangle of the source, [`source`], and mirror the result, which is what keeps a
//! region on its face. Masks skip the size in between, so that no thin line is lost on the way.

use fairhuman_pictures::resize::{Part, colours};

use crate::geometry::Draw;

/// The part of the (unmirrored) source that the draw keeps.
pub(crate) fn source(draw: &Draw) -> Part {
    let left = if draw.flip { draw.resized.0 - draw.crop_left - draw.width } else { draw.crop_left };
    let (sx, sy) = (
        f64::from(draw.original.0) / f64::from(draw.resized.0),
        f64::from(draw.original.1) / f64::from(draw.resized.1),
    );
    let (x, y) = (f64::from(left) * sx, f64::from(draw.crop_top) * sy);
    Part {
        left: x,
        top: y,
        width: (f64::from(draw.width) * sx).min(f64::from(draw.original.0) - x),
        height: (f64::from(draw.height) * sy).min(f64::from(draw.original.1) - y),
    }
}

/// Resizes, mirrors and crops RGB bytes `[H, W, 3]` and maps each byte `v` to `v / 255 * scale + shift`.
///
/// Lanczos with three lobes, widened when shrinking (no aliasing). Fails only if the bytes are not of the
/// draw's original size.
pub(crate) fn picture(rgb: &[u8], draw: &Draw, scale: f32, shift: f32) -> Result<Vec<f32>, String> {
    let to =
        colours(rgb, draw.original, &source(draw), (draw.width, draw.height)).map_err(|e| e.to_string())?;
    let value = |v: u8| f32::from(v) * (scale / 255.0) + shift;
    let mut out = Vec::with_capacity(to.len());
    for row in to.chunks_exact(draw.width as usize * 3) {
        if draw.flip {
            out.extend(row.rchunks_exact(3).flatten().map(|&v| value(v)));
        } else {
            out.extend(row.iter().map(|&v| value(v)));
        }
    }
    Ok(out)
}

/// The share, in [0, 1], of each cell of a `rows x cols` grid over the draw that the mask `[H, W]` covers.
///
/// Exact areas: pixels that a cell's edge cuts count in part.
pub(crate) fn cover(mask: &[u8], draw: &Draw, cols: usize, rows: usize) -> Vec<f32> {
    let rect = source(draw);
    let (width, height) = (draw.original.0 as usize, draw.original.1 as usize);
    let across = spans(rect.left, rect.width, cols, width);
    let down = spans(rect.top, rect.height, rows, height);
    let top = down.first().map_or(0, |s| s.first);
    let bottom = down.last().map_or(0, |s| s.first + s.weights.len());

    let mut narrow = Vec::with_capacity((bottom - top) * cols);
    for row in mask.chunks_exact(width).take(bottom).skip(top) {
        for span in &across {
            let pixels = &row[span.first..][..span.weights.len()];
            let sum: f32 = pixels.iter().zip(&span.weights).map(|(&v, w)| f32::from(v) * w).sum();
            narrow.push(sum);
        }
    }
    let mut cells = vec![0.0; rows * cols];
    for (span, out) in down.iter().zip(cells.chunks_exact_mut(cols)) {
        let first = (span.first - top) * cols;
        for (line, weight) in narrow[first..].chunks_exact(cols).zip(&span.weights) {
            for (cell, v) in out.iter_mut().zip(line) {
                *cell += v * (weight / 255.0);
            }
        }
        for cell in out.iter_mut() {
            *cell = cell.min(1.0); // a full cell's weights may sum to a hair more
        }
        if draw.flip {
            out.reverse();
        }
    }
    cells
}

/// The pixels under one cell, along one axis: the first, and each one's share of the cell (they sum to 1).
struct Span {
    first: usize,
    weights: Vec<f32>,
}

/// Divides `start .. start + length` into `cells` equal parts over pixels `0 .. limit`.
fn spans(start: f64, length: f64, cells: usize, limit: usize) -> Vec<Span> {
    let step = length / cells as f64;
    let span = |cell: usize| {
        let (a, b) = (start + step * cell as f64, start + step * (cell + 1) as f64);
        let first = (a.floor() as usize).min(limit - 1);
        let last = (b.ceil() as usize).clamp(first + 1, limit);
        let part = |p: usize| ((b.min((p + 1) as f64) - a.max(p as f64)) / step).max(0.0) as f32;
        Span { first, weights: (first..last).map(part).collect() }
    };
    (0..cells).map(span).collect()
}
