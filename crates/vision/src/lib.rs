//! Faces, hands and people in photographs: the way from a folder of pictures to a dataset.
//!
//! MediaPipe's own networks run here, read from their `.tflite` files, with MediaPipe's pre- and
//! post-processing: what Python MediaPipe finds in a photograph is found, to the pixel. A second look
//! ([`mod@look`]) goes to heads, wrists and tiles for what is too small for the first one.
//!
//! ```no_run
//! use fairhuman_vision::{annotate, finder, models};
//! use std::sync::atomic::AtomicBool;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let networks = std::path::Path::new("cache/mediapipe");
//! models::get(&models::Source::Index(models::INDEX.into()), networks, &mut |_| {})?;
//! let detectors = annotate::load_detectors(networks)?;
//! let finders = finder::Finders { detectors: &detectors, faces: None, hands: None };
//! let summary = annotate::annotate(
//!     "photos".as_ref(),
//!     "data/photos".as_ref(),
//!     &annotate::Options::default(),
//!     &finders,
//!     &AtomicBool::new(false),
//!     &|progress| eprintln!("{} of {}", progress.done, progress.total),
//! )?;
//! assert!(summary.problems.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! | layer | modules |
//! |---|---|
//! | networks | [`tflite`] runs MediaPipe's files, `yolo` the user's own ONNX files (`classes`: what they find), [`models`] gets the files |
//! | detectors | [`crop`], [`ssd`], [`landmarks`], [`detectors`]: MediaPipe's pipelines |
//! | second look | [`people`], [`mod@look`], [`mod@evaluate`] |
//! | datasets | [`finder`], [`masks`], [`mended`], [`skeleton`], [`sheet`], [`mod@annotate`] |
//!
//! Not here: training of detectors, video (every photograph stands alone), segmentation.

pub mod annotate;
#[cfg(feature = "onnx")]
pub mod classes;
pub mod crop;
pub mod detectors;
pub mod evaluate;
pub mod files;
pub mod finder;
pub mod geometry;
pub mod landmarks;
pub mod look;
pub mod masks;
pub mod mended;
pub mod models;
pub mod people;
pub mod photo;
pub mod sheet;
pub mod skeleton;
pub mod ssd;
pub mod tflite;
#[cfg(feature = "onnx")]
pub mod yolo;
