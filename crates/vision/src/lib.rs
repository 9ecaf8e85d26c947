//! Faces, hands and people in photographs: the way from a folder of pictures to masks.
//!
//! MediaPipe's own networks run here, read from their `.tflite` files, with MediaPipe's pre- and
//! post-processing: what Python MediaPipe finds is found, to the pixel. [`models::get`] puts the
//! networks into a folder; [`detectors::Detectors`] runs them.

pub mod crop;
pub mod detectors;
pub mod geometry;
pub mod landmarks;
pub mod look;
pub mod models;
pub mod people;
pub mod ssd;
pub mod tflite;
