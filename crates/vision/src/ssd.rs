//! MediaPipe's single-shot detectors: anchors, decoding and weighted non-maximum suppression.
//!
//! Anchors are the centres of a grid's cells, the same for every box size (`fixed_anchor_size`). A
//! box is its offset from its anchor and its size, in pixels of the network's input; then come key
//! points, offsets too. BlazeFace (arXiv 1907.05047) introduced the suppression: instead of dropping
//! the boxes that overlap the best one, all of them are averaged with their scores as weights.

use image::RgbImage;
use std::path::Path;

use crate::crop::{self, Border, Range};
use crate::geometry::{Box2, Detection, RotatedRect};
use crate::tflite::{Network, NetworkError};

/// Parameters of one detector.
#[derive(Debug)]
pub struct SsdConfig {
    /// Side of the input.
    pub side: usize,
    /// Input values for black and white.
    pub range: Range,
    /// Cell size of each grid and its number of anchors per cell.
    pub grids: &'static [(usize, usize)],
    /// Key points per box.
    pub points: usize,
    /// Numbers of the outputs with boxes and with scores.
    pub outputs: (usize, usize),
}

/// Faces up to about 2 m away: 128 x 128.
pub const FACE_SHORT: SsdConfig =
    SsdConfig { side: 128, range: (-1.0, 1.0), grids: &[(8, 2), (16, 6)], points: 6, outputs: (0, 1) };

/// Faces up to about 5 m away: 192 x 192.
pub const FACE_FULL: SsdConfig =
    SsdConfig { side: 192, range: (-1.0, 1.0), grids: &[(4, 1)], points: 6, outputs: (0, 1) };

/// Palms: 192 x 192.
pub const PALM: SsdConfig =
    SsdConfig { side: 192, range: (0.0, 1.0), grids: &[(8, 2), (16, 6)], points: 7, outputs: (0, 1) };

/// People, found by their faces and torsos: 224 x 224.
pub const PERSON: SsdConfig = SsdConfig {
    side: 224,
    range: (-1.0, 1.0),
    grids: &[(8, 2), (16, 2), (32, 6)],
    points: 4,
    outputs: (0, 1),
};

/// Boxes with a larger intersection over union are merged.
const IOU_THRESHOLD: f32 = 0.3;

/// A loaded detector.
pub struct Detector {
    config: &'static SsdConfig,
    network: Network,
    anchors: Vec<[f32; 2]>,
}

impl SsdConfig {
    /// Centres of all anchors, in `0..1`, in the order of the network's boxes.
    fn anchors(&self) -> Vec<[f32; 2]> {
        let mut anchors = Vec::new();
        for &(stride, count) in self.grids {
            let cells = self.side.div_ceil(stride);
            for y in 0..cells {
                for x in 0..cells {
                    let center = [x, y].map(|i| (i as f32 + 0.5) / cells as f32);
                    anchors.extend(std::iter::repeat_n(center, count));
                }
            }
        }
        anchors
    }
}

impl Detector {
    /// Loads the network of a detector.
    pub fn load(file: &Path, config: &'static SsdConfig) -> Result<Self, NetworkError> {
        let anchors = config.anchors();
        let (boxes, scores) = config.outputs;
        let wanted = [(boxes, anchors.len() * (4 + 2 * config.points)), (scores, anchors.len())];
        let network = Network::load(file, config.side, &wanted)?;
        Ok(Self { config, network, anchors })
    }

    /// Objects of the whole photograph with a score of at least `threshold`, best first.
    pub fn detect(&self, photo: &RgbImage, threshold: f32) -> Vec<Detection> {
        let whole = RotatedRect::letterbox(photo.width(), photo.height());
        self.detect_in(photo, &whole, threshold)
    }

    /// Objects of a square, upright region, black outside the photograph.
    pub fn detect_in(&self, photo: &RgbImage, region: &RotatedRect, threshold: f32) -> Vec<Detection> {
        let input = crop::crop(photo, region, self.config.side, Border::Black, self.config.range);
        let outputs = self.network.run(input);
        let [boxes, scores] = &outputs[..] else {
            return Vec::new();
        };
        let found = self.decode(boxes, scores, threshold);
        weighted_suppression(found).into_iter().map(|d| project(d, region)).collect()
    }

    /// Boxes above the threshold, in `0..1` of the input.
    fn decode(&self, boxes: &[f32], scores: &[f32], threshold: f32) -> Vec<Detection> {
        let side = self.config.side as f32;
        let width = 4 + 2 * self.config.points;
        let mut found = Vec::new();
        for ((anchor, raw), &logit) in self.anchors.iter().zip(boxes.chunks_exact(width)).zip(scores) {
            let score = 1.0 / (1.0 + (-logit.clamp(-100.0, 100.0)).exp());
            let (w, h) = (raw[2] / side, raw[3] / side);
            if score < threshold || w.is_nan() || h.is_nan() || w < 0.0 || h < 0.0 {
                continue;
            }
            let place = |x: f32, y: f32| [x / side + anchor[0], y / side + anchor[1]];
            let [x, y] = place(raw[0], raw[1]);
            found.push(Detection {
                bbox: Box2 { x0: x - w / 2.0, y0: y - h / 2.0, x1: x + w / 2.0, y1: y + h / 2.0 },
                score,
                points: raw[4..].chunks_exact(2).map(|p| place(p[0], p[1])).collect(),
            });
        }
        found
    }
}

/// Averages overlapping boxes, weighted by their scores; the best score is kept.
fn weighted_suppression(mut rest: Vec<Detection>) -> Vec<Detection> {
    rest.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept = Vec::new();
    while let Some(best) = rest.first().cloned() {
        let (same, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|d| d.bbox.iou(&best.bbox) > IOU_THRESHOLD);
        rest = others;
        if same.is_empty() {
            // A box of zero area overlaps nothing, not even itself.
            rest.remove(0);
            continue;
        }
        let total: f32 = same.iter().map(|d| d.score).sum();
        let mean =
            |get: &dyn Fn(&Detection) -> f32| same.iter().map(|d| get(d) * d.score).sum::<f32>() / total;
        kept.push(Detection {
            bbox: Box2 {
                x0: mean(&|d| d.bbox.x0),
                y0: mean(&|d| d.bbox.y0),
                x1: mean(&|d| d.bbox.x1),
                y1: mean(&|d| d.bbox.y1),
            },
            score: best.score,
            points: (0..best.points.len())
                .map(|i| [mean(&|d| d.points[i][0]), mean(&|d| d.points[i][1])])
                .collect(),
        });
    }
    kept
}

/// Maps `0..1` of an upright region to the photograph.
fn project(d: Detection, region: &RotatedRect) -> Detection {
    let [x0, y0] = region.point(d.bbox.x0, d.bbox.y0);
    let [x1, y1] = region.point(d.bbox.x1, d.bbox.y1);
    Detection {
        bbox: Box2 { x0, y0, x1, y1 },
        score: d.score,
        points: d.points.iter().map(|[u, v]| region.point(*u, *v)).collect(),
    }
}
