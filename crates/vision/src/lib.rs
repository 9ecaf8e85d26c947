//! Detects faces, hands and people in photographs, and turns a folder of photographs into a dataset.
//!
//! MediaPipe's own networks run here, read from their `.tflite` files, with MediaPipe's pre- and
//! post-processing: the detections equal those of Python MediaPipe to the pixel. A zoom pass ([`mod@detect`])
//! repeats them on enlarged crops around heads and wrists and on tiles, for regions too small to be found in
//! the whole photograph.
//!
//! ```no_run
//! use fairhuman_vision::{annotate, models, pipeline};
//! use std::sync::atomic::AtomicBool;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let networks = std::path::Path::new("cache/mediapipe");
//! models::get(&models::Source::Index(models::INDEX.into()), networks, &mut |_| {})?;
//! let detectors = annotate::load_detectors(networks)?;
//! let pipeline = pipeline::Pipeline { detectors: &detectors, faces: None, hands: None };
//! let summary = annotate::annotate(
//!     "photos".as_ref(),
//!     "data/photos".as_ref(),
//!     &annotate::Options::default(),
//!     &pipeline,
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
//! | networks | [`tflite`] for MediaPipe's files, `yolo` and `classes` for ONNX files, [`models`] |
//! | detectors | [`crop`], [`ssd`], [`landmarks`], [`detectors`]: MediaPipe's pipelines |
//! | zoom pass | [`people`], [`mod@detect`], [`mod@evaluate`] |
//! | datasets | [`pipeline`], [`masks`], [`manual_edits`], [`skeleton`], [`sheet`], [`mod@annotate`] |
//!
//! Not here: training of detectors, tracking in video, segmentation.

pub mod annotate;
#[cfg(feature = "onnx")]
pub mod classes;
mod counting;
pub mod crop;
pub mod detect;
pub mod detectors;
pub mod edges;
pub mod evaluate;
pub mod files;
pub mod geometry;
pub mod landmarks;
pub mod manual_edits;
pub mod masks;
pub mod models;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
mod onnx_depth;
pub mod people;
pub use fairhuman_pictures::photo;
pub mod pipeline;
pub mod sheet;
pub mod skeleton;
pub mod ssd;
#[cfg(feature = "onnx")]
pub mod tagger;
pub mod tflite;
#[cfg(feature = "onnx")]
pub mod yolo;
