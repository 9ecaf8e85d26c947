//! The crate's tests in one program: one link, and shared helpers without warnings.

mod annotate;
mod common;
mod mediapipe;
mod models;
#[cfg(feature = "onnx")]
mod yolo;
