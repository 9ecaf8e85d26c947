//! Faces, hands and people in photographs: the way from a folder of pictures to masks.
//!
//! MediaPipe's own networks run here, read from their `.tflite` files, with MediaPipe's pre- and
//! post-processing: what Python MediaPipe finds is found, to the pixel. [`models::get`] puts the
//! networks into a folder; [`detectors::Detectors`] runs them.

pub mod annotate;
pub mod crop;
pub mod detectors;
pub mod evaluate;
pub mod files;
pub mod geometry;
pub mod landmarks;
pub mod look;
pub mod masks;
pub mod models;
pub mod people;
pub mod photo;
pub mod sheet;
pub mod skeleton;
pub mod ssd;
pub mod tflite;
