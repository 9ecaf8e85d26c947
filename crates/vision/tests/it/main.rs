//! All integration tests in one binary, which links once and shares helpers.

mod annotate;
mod common;
mod counting;
mod mediapipe;
mod models;
mod skeleton;
#[cfg(feature = "onnx")]
#[cfg(feature = "onnx")]
mod tagger;
mod yolo;
