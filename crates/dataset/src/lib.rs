//! Pictures, region masks, captions and conditioning images, from files to training samples.
//!
//! [`Dataset::open`] reads every header and every line first and reports *all* errors at once; after that
//! [`Dataset::load`] turns one item into pixels. Its geometry (resize, mirror, crop)
//! is one plain value, a [`Draw`], made by the pure function [`draw()`] from (seed, step, sample). The same
//! `Draw` is applied to the picture, to every mask and to the conditioning image, so they cannot drift apart.
//!
//! ```
//! use fairhuman_dataset::{Crop, GeometrySpec, draw};
//!
//! let spec = GeometrySpec { width: 512, height: 512, crop: Crop::Random, flip: 0.5, buckets: None };
//! let a = draw(&spec, (1200, 800), 42, 7, 3); // a 1200 x 800 picture, seed 42, step 7, sample 3
//! let b = draw(&spec, (1200, 800), 42, 7, 3);
//! assert_eq!(a, b); // nothing is remembered between calls
//! assert_eq!(a.resized, (768, 512)); // the picture covers the target; the rest is cropped away
//! ```
//!
//! Reading a folder (see [`Layout`] for what folders may look like):
//!
//! ```no_run
//! use fairhuman_dataset::{Dataset, DatasetSpec, GeometrySpec, Region, Wanted, draw};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = DatasetSpec::new("people");
//! let regions = [Region::new("face", "mask_face"), Region::new("hand", "mask_hand")];
//! let data = Dataset::open(".".as_ref(), &spec, &regions)?;
//! let geometry = GeometrySpec::default();
//! let (seed, step, sample) = (42, 0, 0);
//! let d = draw(&geometry, data.item(0).size, seed, step, sample);
//! let s = data.load(0, &d, 8, Wanted::ALL)?; // 8: the VAE's reduction, pixels per latent cell
//! assert_eq!(s.image.len(), s.height * s.width * 3);
//! # Ok(()) }
//! ```
//!
//! [`check`](mod@check) reads everything and trains nothing: it names every error, counts the regions at
//! latent resolution, and draws a contact sheet.
//!
//! [`edit`] changes masks and captions by hand, for a page that shows them.
//!
//! # Conventions
//!
//! - Sizes as tuples are `(width, height)` in pixels, of the picture *as shown*, after its EXIF orientation.
//! - PNG, JPEG and WebP are read, told apart by content, not by name. 16 bits become 8, gray and CMYK become
//!   RGB, colours sRGB by the profile in the file (not those of four inks). Of an animation the first frame
//!   is read.
//! - Transparent pictures are laid on white; transparent masks and conditioning images on black.
//! - A mask is white where the region is, black elsewhere; the brightest channel counts. Gray is partial
//!   cover.
//! - Pictures smaller than the target are enlarged; SDXL's original-size condition tells the model.
//!
//! # What this crate does not do
//!
//! It finds no faces or hands (masks come from files or annotations), makes no batches (it says which samples
//! belong together: [`buckets`]), encodes nothing, caches nothing (it gives [`Dataset::image_hash`] and a
//! serialisable [`Draw`] for cache keys) and keeps no random state.
#![deny(missing_docs)]

pub mod buckets;
mod captions;
pub mod check;
mod content;
mod controls;
mod dataset;
mod decode;
mod diagnostic;
pub mod edit;
mod fit;
mod foreign;
mod geometry;
#[cfg(feature = "parquet")]
mod guard;
mod item;
mod layout;
mod paths;
mod picture_files;
mod pixels;
mod resample;
mod sample;
mod source;
mod spec;
mod spelling;

pub use captions::{CaptionSpec, caption};
pub use dataset::Dataset;
pub use diagnostic::{DatasetError, Diagnostic, Kind, Origin, Rejected, Severity, Subject};
pub use fit::Fit;
pub use geometry::{Crop, Draw, GeometrySpec, draw};
pub use item::Item;
pub use sample::{LatentMask, Sample, Wanted};
pub use source::{ImageSource, MaskSource, Shape, Shapes, TableCell};
pub use spec::{CocoShape, CocoSpec, DatasetSpec, FolderSpec, Layout, MaskOrientation, MissingMask, Region};
