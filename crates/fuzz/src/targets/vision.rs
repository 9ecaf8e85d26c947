//! Readers of detection networks.

use std::path::Path;

use fairhuman_vision::tflite::Network;
use fairhuman_vision::yolo::Yolo;
use image::RgbImage;

use super::put;

pub(super) fn onnx(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    let path = put(folder, "network.onnx", input)?;
    if let Ok(network) = Yolo::load(&path, &[], 0.25) {
        let _ = network.detect(&RgbImage::new(48, 32));
    }
    Ok(())
}

/// The short-range face detector: 128 pixels, 896 anchors of 16 numbers and a score.
pub(super) fn tflite(_: &Path, input: &[u8]) -> anyhow::Result<()> {
    if let Ok(network) =
        Network::from_bytes(Path::new("network.tflite"), input, 128, &[(0, 896 * 16), (1, 896)])
    {
        network.run(vec![0.5; 128 * 128 * 3]);
    }
    Ok(())
}
