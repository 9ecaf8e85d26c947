//! Several crops in one picture of the model's size.

use crate::layout::{crop, moved_inside};
use crate::{ModelSize, PixelRect, Rect, Sheet, Tile, pack};

/// Steps of the search for the largest common factor: a thousandth of the range.
const STEPS: usize = 10;

/// Fills sheets of the model's size with boxes, in order: as many on a sheet as fit without being shrunk,
/// then enlarged by the largest factor that all of them have room for. Between two tiles lie two cells of
/// latents at least, so that a cell belongs to one of them. A box that fills a sheet alone is a crop.
pub(crate) fn sheets(group: &[(usize, Rect)], picture: (u32, u32), model: ModelSize) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    let mut open: Vec<(usize, Rect)> = Vec::new();
    for &(i, rect) in group {
        open.push((i, rect.moved_inside(picture)));
        if open.len() > 1 && placed(&open, 1.0, picture, model).is_none() {
            let next = open.pop();
            sheets.push(filled(&open, picture, model));
            open = next.into_iter().collect();
        }
    }
    if !open.is_empty() {
        sheets.push(filled(&open, picture, model));
    }
    sheets
}

/// A sheet of these boxes, as large as they fit.
fn filled(boxes: &[(usize, Rect)], picture: (u32, u32), model: ModelSize) -> Sheet {
    if let [(i, rect)] = boxes {
        return crop(*rect, vec![*i], picture, model);
    }
    let largest = |side: f64, length: fn(&Rect) -> f64| {
        boxes.iter().map(|(_, rect)| side / length(rect).max(1.0)).fold(f64::INFINITY, f64::min)
    };
    let most = largest(model.width.into(), Rect::width).min(largest(model.height.into(), Rect::height));
    let (mut low, mut high) = (1.0, most.max(1.0));
    let mut best = placed(boxes, low, picture, model);
    for _ in 0..STEPS {
        let middle = (low + high) / 2.0;
        match placed(boxes, middle, picture, model) {
            Some(found) => (low, best) = (middle, Some(found)),
            None => high = middle,
        }
    }
    // There is one: boxes are only put together where they fit at a factor of 1.
    Sheet { size: size(model), tiles: best.unwrap_or_default() }
}

/// The model's size in whole multiples.
fn size(model: ModelSize) -> (u32, u32) {
    let multiple = model.multiple.max(1);
    let side = |length: u32| (length / multiple).max(1) * multiple;
    (side(model.width), side(model.height))
}

/// Tiles of boxes enlarged by a factor; none if they do not fit.
fn placed(
    boxes: &[(usize, Rect)],
    scale: f64,
    (width, height): (u32, u32),
    model: ModelSize,
) -> Option<Vec<Tile>> {
    let multiple = model.multiple.max(1);
    // At most as many cells as lie in the picture.
    let cells = |length: f64, most: u32| {
        let cells = (length.min(most.into()) * scale / f64::from(multiple) + 1e-9).floor().max(1.0);
        cells as u32 * multiple
    };
    let sides: Vec<(u32, u32)> =
        boxes.iter().map(|(_, rect)| (cells(rect.width(), width), cells(rect.height(), height))).collect();
    let fits = |&(w, h): &(u32, u32)| {
        f64::from(w) / scale <= f64::from(width) && f64::from(h) / scale <= f64::from(height)
    };
    if !sides.iter().all(fits) {
        return None;
    }
    let places = pack(&sides, size(model), 2 * multiple)?;
    let picture = (width.into(), height.into());
    let mut tiles = Vec::with_capacity(boxes.len());
    for (((i, rect), (w, h)), (x, y)) in boxes.iter().zip(sides).zip(places) {
        tiles.push(Tile {
            source: moved_inside(rect, f64::from(w) / scale, f64::from(h) / scale, picture),
            target: PixelRect { x, y, width: w, height: h },
            scale,
            members: vec![*i],
        });
    }
    Some(tiles)
}
