//! The user's own detection networks: YOLOv8 and YOLO11, exported to ONNX by Ultralytics.
//!
//! The published method finds hands and faces with such networks. Preparation and suppression are those of
//! Ultralytics' predictor: the photograph is letterboxed on gray (114), boxes are given as centre and size
//! with a score per class, and of boxes of one class with an intersection over union above 0.7 the best is
//! kept.

use std::path::{Path, PathBuf};

use image::RgbImage;
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use crate::classes;
use crate::detect::{Instance, Source};
use crate::geometry::Box2;
use crate::onnx::Network;
use crate::pipeline::RegionDetector;
use fairhuman_files::sha256_hex;

/// Side of the input if the file leaves it dynamic.
const DEFAULT_SIDE: usize = 640;
/// Largest number of detections in a photograph.
const MAX_DETECTIONS: usize = 300;
/// Intersection over union above which the lower-scoring of two boxes of one class is suppressed.
const IOU_THRESHOLD: f32 = 0.7;

/// A network that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct YoloError {
    /// The ONNX file.
    pub file: PathBuf,
    /// The problem.
    pub reason: String,
}

/// A loaded network.
pub struct Yolo {
    file: PathBuf,
    identity: String,
    network: Network,
    /// Height and width of the input.
    size: [usize; 2],
    /// Minimum score of a box.
    threshold: f32,
    /// Numbers of the classes to detect.
    classes: Vec<usize>,
}

/// Layout of the output.
enum OutputLayout {
    /// Exported with suppression, `[1, boxes, 6]`: corners, score, class.
    Corners,
    /// `[1, rows, boxes]`: centre, size, a score per class.
    Columns {
        /// 4 + number of classes.
        rows: usize,
        /// Number of boxes.
        boxes: usize,
    },
}

/// A detected object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Bounding box in pixels of the photograph.
    pub bbox: Box2,
    /// Confidence, `0..=1`.
    pub score: f32,
    /// Number of its class.
    pub class: usize,
}

impl Yolo {
    /// Loads an ONNX file and runs it once. `classes`: names or numbers of the classes to detect, needed if
    /// there is more than one. Ultralytics' own threshold is 0.25, the paper's 0.5.
    pub fn load(file: &Path, classes: &[String], threshold: f32) -> Result<Self, YoloError> {
        let fail = |reason: String| YoloError { file: file.into(), reason };
        let bytes = fairhuman_files::read(file).map_err(|e| fail(e.to_string()))?;
        let identity = sha256_hex(&bytes);
        let network = Network::load(bytes).map_err(fail)?;
        if let Some(task) = network.metadata("task").filter(|task| *task != "detect") {
            return Err(fail(format!(
                "expected a detection network (task `detect`), found the task `{task}`"
            )));
        }
        let shape = network.shape();
        if shape.len() != 4 || network.length(1).is_some_and(|channels| channels != 3) {
            return Err(fail(format!("expected an input [1, 3, height, width], found {shape:?}")));
        }
        let size = [2, 3].map(|i| network.length(i).unwrap_or(DEFAULT_SIDE));
        if size.iter().any(|&side| !(32..=8192).contains(&side)) {
            return Err(fail(format!("expected an input of 32 to 8192 pixels, found {size:?}")));
        }
        let mut names = classes::parse(network.metadata("names").unwrap_or_default());
        let mut yolo = Self { file: file.into(), identity, network, size, threshold, classes: Vec::new() };
        // Run once now, so that a network that cannot work is refused before any photograph.
        let gray = RgbImage::from_pixel(size[1] as u32, size[0] as u32, image::Rgb([114; 3]));
        if let (OutputLayout::Columns { rows, .. }, _) = yolo.run(&Letterbox::of(&gray, size), &gray)? {
            let known = rows - 4;
            if names.is_empty() {
                names = (0..known).map(|i| i.to_string()).collect();
            }
            if names.len() != known {
                return Err(fail(format!(
                    "expected an output of 4 rows and one for each of its {} classes, found {rows}: a detection network is needed",
                    names.len()
                )));
            }
        }
        if names.is_empty() {
            return Err(fail(
                "expected the classes' `names` in its metadata, as Ultralytics writes them".into(),
            ));
        }
        yolo.classes = classes::choose(&names, classes).map_err(fail)?;
        Ok(yolo)
    }

    /// Runs the network; returns the output's layout and its values, checked to be a detection network's.
    fn run(&self, letterbox: &Letterbox, photo: &RgbImage) -> Result<(OutputLayout, Vec<f32>), YoloError> {
        let fail = |reason: String| YoloError { file: self.file.clone(), reason };
        let output = self.network.run(letterbox.input(photo)).map_err(fail)?;
        let shape = output.shape().to_vec();
        let values = output.to_vec();
        // Quantised networks round.
        let is_score = |v: &f32| (-0.001..=1.001).contains(v);
        let (layout, fits) = match shape[..] {
            [1, n, 6] if n > 6 => {
                let fits = values.chunks_exact(6).all(|v| is_score(&v[4]) && v[5].fract() == 0.0);
                (OutputLayout::Corners, fits)
            }
            [1, rows, boxes] if rows > 4 && rows <= boxes => {
                (OutputLayout::Columns { rows, boxes }, values[4 * boxes..].iter().all(is_score))
            }
            _ => {
                return Err(fail(format!(
                    "expected an output [1, 4 + classes, boxes] of a YOLOv8 or YOLO11 detection network, found {shape:?} (YOLOv5 has boxes first)"
                )));
            }
        };
        if !fits {
            return Err(fail(format!(
                "expected scores from 0 to 1 in its output {shape:?}, found other numbers: not a YOLOv8 or YOLO11 detection network"
            )));
        }
        Ok((layout, values))
    }

    /// Objects of a photograph, best first.
    pub fn detect(&self, photo: &RgbImage) -> Result<Vec<Object>, YoloError> {
        let letterbox = Letterbox::of(photo, self.size);
        let (layout, values) = self.run(&letterbox, photo)?;
        let mut found = match layout {
            OutputLayout::Corners => self.corners(&values),
            OutputLayout::Columns { rows, boxes } => self.columns(&values, rows, boxes),
        };
        found.retain(|object| {
            [object.bbox.x0, object.bbox.y0, object.bbox.x1, object.bbox.y1].iter().all(|v| v.is_finite())
        });
        for object in &mut found {
            object.bbox = letterbox.to_photo(object.bbox).clipped(photo.width(), photo.height());
        }
        Ok(found)
    }

    fn corners(&self, values: &[f32]) -> Vec<Object> {
        let mut found: Vec<Object> = values
            .chunks_exact(6)
            .filter(|v| v[4] > self.threshold)
            .map(|v| Object {
                bbox: Box2 { x0: v[0], y0: v[1], x1: v[2], y1: v[3] },
                score: v[4],
                class: v[5].max(0.0) as usize,
            })
            .filter(|object| self.classes.contains(&object.class))
            .collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }

    fn columns(&self, values: &[f32], rows: usize, n: usize) -> Vec<Object> {
        let at = |row: usize, i: usize| values[row * n + i];
        let mut all = Vec::new();
        for i in 0..n {
            let (mut class, mut score) = (0, f32::NEG_INFINITY);
            for row in 4..rows {
                if at(row, i) > score {
                    (class, score) = (row - 4, at(row, i));
                }
            }
            if score > self.threshold && self.classes.contains(&class) {
                let (x, y, w, h) = (at(0, i), at(1, i), at(2, i) / 2.0, at(3, i) / 2.0);
                all.push(Object { bbox: Box2 { x0: x - w, y0: y - h, x1: x + w, y1: y + h }, score, class });
            }
        }
        suppressed(all)
    }
}

/// Non-maximum suppression per class.
fn suppressed(mut all: Vec<Object>) -> Vec<Object> {
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Object> = Vec::new();
    for object in all {
        let same = |k: &Object| k.class == object.class && k.bbox.iou(&object.bbox) > IOU_THRESHOLD;
        if kept.len() < MAX_DETECTIONS && !kept.iter().any(same) {
            kept.push(object);
        }
    }
    kept
}

/// Position and scale of a photograph in the input.
struct Letterbox {
    size: [usize; 2],
    scale: f32,
    /// Size of the scaled photograph.
    inner: [usize; 2],
    /// Gray rows above and columns to the left.
    padding: [usize; 2],
}

impl Letterbox {
    fn of(photo: &RgbImage, size: [usize; 2]) -> Self {
        let from = [photo.height() as f32, photo.width() as f32];
        let scale = (size[0] as f32 / from[0]).min(size[1] as f32 / from[1]);
        let inner = [0, 1].map(|i| ((from[i] * scale).round() as usize).clamp(1, size[i]));
        let padding = [0, 1].map(|i| (((size[i] - inner[i]) as f32 / 2.0 - 0.1).round()).max(0.0) as usize);
        Self { size, scale, inner, padding }
    }

    /// The input, `[1, 3, height, width]` in `0..=1`.
    fn input(&self, photo: &RgbImage) -> NdTensor<f32, 4> {
        let [height, width] = self.size;
        let mut out = vec![114.0 / 255.0; 3 * height * width];
        let rows = places(photo.height() as usize, self.inner[0]);
        let columns = places(photo.width() as usize, self.inner[1]);
        for (y, &(y0, y1, fy)) in rows.iter().enumerate() {
            for (x, &(x0, x1, fx)) in columns.iter().enumerate() {
                let pixel = |x: usize, y: usize| photo.get_pixel(x as u32, y as u32).0.map(f32::from);
                let (a, b, c, d) = (pixel(x0, y0), pixel(x1, y0), pixel(x0, y1), pixel(x1, y1));
                for i in 0..3 {
                    let top = a[i] + (b[i] - a[i]) * fx;
                    let bottom = c[i] + (d[i] - c[i]) * fx;
                    let at = (i * height + y + self.padding[0]) * width + x + self.padding[1];
                    out[at] = (top + (bottom - top) * fy).round() / 255.0;
                }
            }
        }
        NdTensor::from_data([1, 3, height, width], out)
    }

    /// Maps pixels of the input to pixels of the photograph.
    fn to_photo(&self, bbox: Box2) -> Box2 {
        let x = |v: f32| (v - self.padding[1] as f32) / self.scale;
        let y = |v: f32| (v - self.padding[0] as f32) / self.scale;
        Box2 { x0: x(bbox.x0), y0: y(bbox.y0), x1: x(bbox.x1), y1: y(bbox.y1) }
    }
}

/// Bilinear interpolation: both neighbours of every position of a resized line and the weight of the second,
/// with pixel centres at half positions.
fn places(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    (0..to)
        .map(|i| {
            let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(from - 1), at - low as f32)
        })
        .collect()
}

impl RegionDetector for Yolo {
    fn detect(&self, photo: &RgbImage) -> Result<Vec<Instance>, String> {
        let objects = self.detect(photo).map_err(|e| e.to_string())?;
        let found = objects.into_iter().map(|o| Instance {
            bbox: o.bbox,
            score: o.score,
            source: Source::Network,
            points: Vec::new(),
        });
        Ok(found.filter(|f| f.bbox.area() > 0.0).collect())
    }

    fn identity(&self) -> String {
        format!("{}, classes {:?}, at {}", self.identity, self.classes, self.threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::{Box2, Object, suppressed};

    #[test]
    fn only_boxes_of_one_class_suppress_each_other() {
        let object = |x0: f32, score: f32, class: usize| Object {
            bbox: Box2 { x0, y0: 0.0, x1: x0 + 10.0, y1: 10.0 },
            score,
            class,
        };
        let kept = suppressed(vec![object(0.0, 0.5, 0), object(1.0, 0.9, 0), object(1.0, 0.4, 1)]);
        assert_eq!(kept, [object(1.0, 0.9, 0), object(1.0, 0.4, 1)]);
    }
}
