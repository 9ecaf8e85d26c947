//! Reads PNG, JPEG and WebP files with one set of bounds, for datasets, photographs and samples alike.
//!
//! Decoders are made to show as much as they can: a JPEG whose data are damaged is filled up with gray, a
//! colour profile is unpacked whatever its size. A trainer needs the opposite, so here
//!
//! - sizes are checked before anything is unpacked, and side data that nobody needs never are;
//! - the entropy-coded data of a JPEG are decoded once to see that they are whole (`jpeg/scan.rs`);
//! - the orientation is found in every place where programs write it (`exif.rs`);
//! - colours are converted to sRGB by the profile that the file carries (`colour.rs`).
//!
//! ```no_run
//! use fairhuman_pictures::{MAX_PIXELS, read};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let picture = read(&std::fs::read("photo.jpg")?, MAX_PIXELS)?;
//! println!("{} x {}", picture.image.width(), picture.image.height());
//! # Ok(()) }
//! ```
#![deny(missing_docs)]

mod colour;
mod decode;
mod error;
mod exif;
mod header;
mod jpeg;
mod limits;
pub mod names;
pub mod photo;
mod png;
mod png_text;
pub mod resize;
mod webp;

pub use decode::{Decoded, ProfileUse, decode, read};
pub use error::{PictureError, Problem};
pub use header::{Header, Traits, oriented, read_header};
pub use image::metadata::Orientation;
pub use limits::MAX_PIXELS;
pub use png_text::png_texts;
