//! TensorFlow Lite networks as MediaPipe publishes them.
//!
//! A file is read ([`model`]), half-precision and sparse constants are widened, and its operators (fifteen
//! kinds in all of MediaPipe's detectors) become checked steps that run on the CPU. No crate reads these
//! files exactly (sparse weights, channel padding), and converted to ONNX they ran five times slower than
//! here, where images stay channels-last.

mod depthwise;
mod flatbuffers;
mod kernels;
mod matmul;
pub mod model;
mod network;
mod plan;
mod sparse;

pub use network::{Network, NetworkError};
