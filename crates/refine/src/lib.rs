//! The geometry of refining parts of a picture with an inpainting model.
//!
//! ```
//! use fairhuman_refine::{Kind, Margins, Mode, ModelSize, Rect, Region, SoftMask, paste, plan};
//! use image::RgbImage;
//!
//! let mut picture = RgbImage::new(640, 480);
//! let bounds = Rect { x0: 300.0, y0: 200.0, x1: 340.0, y1: 250.0 };
//! let region = Region { kind: Kind::Hand, bounds, points: Vec::new(), score: None };
//! let model = ModelSize { width: 512, height: 512, multiple: 8 };
//! let sheets = plan(Mode::Crops, &[(region.context(2.5), 0)], picture.dimensions(), model);
//! let tile = &sheets[0].tiles[0];
//! let mask = SoftMask::of_region(&region, tile, picture.dimensions(), Margins::default());
//! let crop = tile.cut(&picture); // what the model is shown; here it changes nothing
//! paste(&mut picture, tile, &tile.back(&crop), &mask);
//! ```
//!
//! Lengths are pixels of the picture unless a name says otherwise; pixel (x, y) covers the square from (x, y)
//! to (x + 1, y + 1).
//!
//! Not here: detectors, models, files.
#![deny(missing_docs)]

mod layout;
mod mosaic;
mod packing;
mod paste;
mod rect;
mod region;
mod resample;
mod soft_mask;
mod verdict;

pub use layout::{Map, Mode, ModelSize, Sheet, Tile, choose_mode, plan};
pub use packing::pack;
pub use paste::{mix, paste};
pub use rect::{PixelRect, Rect};
pub use region::{Filter, Kind, Order, Region};
pub use soft_mask::{Margins, SoftMask, components};
pub use verdict::{Verdict, verdict};
