//! From regions to what a model is shown: the whole picture, a crop for each, or several in a mosaic.

use crate::mosaic;
use crate::{Kind, PixelRect, Rect, Region};

/// Ways to show regions to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The whole picture, once.
    Whole,
    /// A crop for each region; near ones of one group share a crop.
    Crops,
    /// Crops beside each other in one picture.
    Mosaic,
}

impl Mode {
    /// Its name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Crops => "crops",
            Self::Mosaic => "mosaic",
        }
    }
}

/// Sizes that a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSize {
    /// Width in pixels that it was made for.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Sides must be multiples of this: the autoencoder's reduction, or what control networks need.
    pub multiple: u32,
}

/// A picture for a model, and what is on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// Width and height in pixels, multiples of [`ModelSize::multiple`].
    pub size: (u32, u32),
    /// Parts of the picture; they do not overlap.
    pub tiles: Vec<Tile>,
}

/// A part of a picture on a sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    /// The part, inside the picture; its corner lies between pixels.
    pub source: Rect,
    /// Its place on the sheet.
    pub target: PixelRect,
    /// The one factor by which both sides are enlarged, 1 or more.
    pub scale: f64,
    /// The regions that it is for, by their numbers in what was planned.
    pub members: Vec<usize>,
}

/// The map from a picture to a sheet: enlarge, then move. It serves picture, mask and landmarks alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Map {
    /// Factor.
    pub scale: f64,
    /// Added after it.
    pub shift: [f64; 2],
}

impl Map {
    /// A point of the picture on the sheet.
    pub fn to_sheet(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.scale * x + self.shift[0], self.scale * y + self.shift[1]]
    }

    /// A point of the sheet in the picture.
    pub fn to_picture(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [(x - self.shift[0]) / self.scale, (y - self.shift[1]) / self.scale]
    }
}

impl Tile {
    /// Its map.
    pub fn map(&self) -> Map {
        let (Rect { x0, y0, .. }, PixelRect { x, y, .. }, scale) = (self.source, self.target, self.scale);
        Map { scale, shift: [f64::from(x) - scale * x0, f64::from(y) - scale * y0] }
    }

    /// The whole pixels of the picture in it.
    pub fn pixels(&self) -> PixelRect {
        // The sides are quotients: what is a whole number but for rounding is one.
        let last = |edge: f64| (edge + 1e-6).floor();
        let (x, y) = (self.source.x0.ceil(), self.source.y0.ceil());
        let side = |from: f64, to: f64| (last(to) - from).max(0.0) as u32;
        PixelRect {
            x: x as u32,
            y: y as u32,
            width: side(x, self.source.x1),
            height: side(y, self.source.y1),
        }
    }
}

/// The mode that the published refiner of FairHuman takes, by its rules in their order. With R the share of
/// the picture's area that faces and hands cover, and P the number of people: R <= 0.01: crops; P <= 2 and R
/// > 0.1: whole; P >= 5: crops; else mosaic.
pub fn choose_mode(regions: &[Region], people: usize, picture: (u32, u32)) -> Mode {
    let parts = regions.iter().filter(|region| region.kind != Kind::Other);
    let share: f64 = parts.map(|region| region.share(picture)).sum();
    if share <= 0.01 {
        Mode::Crops
    } else if people <= 2 && share > 0.1 {
        Mode::Whole
    } else if people >= 5 {
        Mode::Crops
    } else {
        Mode::Mosaic
    }
}

/// Sheets for `contexts`: boxes to show, with the group that each belongs to. Only boxes of one group (the
/// same prompt) come on one sheet. Every box is on one tile.
pub fn plan(mode: Mode, contexts: &[(Rect, usize)], picture: (u32, u32), model: ModelSize) -> Vec<Sheet> {
    let mut groups: Vec<usize> = Vec::new();
    for (_, group) in contexts {
        if !groups.contains(group) {
            groups.push(*group);
        }
    }
    let of_group = |group: usize| -> Vec<(usize, Rect)> {
        let of = |(i, (rect, g)): (usize, &(Rect, usize))| (*g == group).then_some((i, *rect));
        contexts.iter().enumerate().filter_map(of).collect()
    };
    let sheets = groups.into_iter().map(of_group).flat_map(|group| match mode {
        Mode::Whole => {
            let members = group.iter().map(|(i, _)| *i).collect();
            vec![crop(Rect::whole(picture), members, picture, model)]
        }
        Mode::Crops => crops(&group, picture, model),
        Mode::Mosaic => mosaic::sheets(&group, picture, model),
    });
    sheets.collect()
}

/// Enlargement down to which crops are merged.
const LEAST_ENLARGED: f64 = 1.5;

/// Crops of boxes: each joins the first crop that is still enlarged by [`LEAST_ENLARGED`] with it.
fn crops(group: &[(usize, Rect)], picture: (u32, u32), model: ModelSize) -> Vec<Sheet> {
    let mut merged: Vec<(Rect, Vec<usize>)> = Vec::new();
    for (i, rect) in group {
        let rect = rect.moved_inside(picture);
        let together = |(other, _): &&mut (Rect, Vec<usize>)| {
            crop(other.union(&rect), Vec::new(), picture, model).tiles[0].scale >= LEAST_ENLARGED
        };
        match merged.iter_mut().find(together) {
            Some((union, members)) => {
                *union = union.union(&rect);
                members.push(*i);
            }
            None => merged.push((rect, vec![*i])),
        }
    }
    merged.into_iter().map(|(rect, members)| crop(rect, members, picture, model)).collect()
}

/// One box as a sheet of its own: moved inside the picture, enlarged by one factor to the area that the model
/// was made for, never shrunk, sides multiples of what the model takes.
pub(crate) fn crop(context: Rect, members: Vec<usize>, picture: (u32, u32), model: ModelSize) -> Sheet {
    let (width, height) = (f64::from(picture.0), f64::from(picture.1));
    // A line of pixels is a picture, too.
    let w = context.width().min(width).max(1.0_f64.min(width));
    let h = context.height().min(height).max(1.0_f64.min(height));
    let native = f64::from(model.width) * f64::from(model.height);
    let multiple = f64::from(model.multiple.max(1));
    let wanted = (native / (w * h)).sqrt().max(1.0);
    // What is not enlarged loses a part of a cell rather than its pixels.
    let cells = |length: f64| if wanted > 1.0 { length.round() } else { (length + 1e-9).floor() };
    let side = |length: f64| multiple * cells(length * wanted / multiple).max(1.0);
    let (columns, rows) = (side(w), side(h));
    // All of the box, unless that does not fit into the picture.
    let scale = (columns / w).min(rows / h).max(columns / width).max(rows / height);
    let scale = if scale < 1.0 + 1e-9 { 1.0 } else { scale };
    let source = moved_inside(&context, columns / scale, rows / scale, (width, height));
    let size = (columns as u32, rows as u32);
    let target = PixelRect { x: 0, y: 0, width: size.0, height: size.1 };
    Sheet { size, tiles: vec![Tile { source, target, scale, members }] }
}

/// A rectangle of a size around the centre of another one, moved inside the picture, its corner between
/// pixels: what is not enlarged is not blurred, either.
pub(crate) fn moved_inside(around: &Rect, w: f64, h: f64, (width, height): (f64, f64)) -> Rect {
    let [x, y] = around.center();
    let start = |middle: f64, side: f64, end: f64| {
        let last = (end - side + 1e-6).floor().max(0.0);
        (middle - side / 2.0).round().clamp(0.0, last)
    };
    let (x0, y0) = (start(x, w, width), start(y, h, height));
    Rect { x0, y0, x1: (x0 + w).min(width), y1: (y0 + h).min(height) }
}
