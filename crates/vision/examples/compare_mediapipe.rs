//! Prints a table of the differences between our detectors and Python MediaPipe.
//!
//! ```text
//! python reference/vision/mediapipe_golden.py golden.json PHOTO...
//! cargo run --release -p fairhuman-vision --example compare_mediapipe -- MODELS golden.json PHOTO...
//! ```
//!
//! MODELS is the folder that `fairhuman models get` fills. Photographs should be PNG files: JPEG decoders
//! differ in the last bits, which moves landmarks further than anything else here. Landmark distances are in
//! percent of the larger side of the box around the reference's landmarks.

use std::error::Error;
use std::path::Path;

use fairhuman_vision::detectors::{Detectors, THRESHOLD};
use fairhuman_vision::geometry::{Box2, Detection};
use fairhuman_vision::landmarks::extent;
use fairhuman_vision::photo;
use serde_json::Value;

/// Threshold fixed in MediaPipe's full-range graph, regardless of the Python interface's argument.
const FULL_RANGE: f32 = 0.6;

/// One row of the table: the worst of all photographs.
struct Row {
    name: &'static str,
    reference: usize,
    matched: usize,
    extra: usize,
    overlap: f32,
    score: Option<f32>,
    points: f32,
    mean: Vec<f32>,
}

impl Row {
    fn new(name: &'static str) -> Self {
        Row {
            name,
            reference: 0,
            matched: 0,
            extra: 0,
            overlap: 1.0,
            score: None,
            points: 0.0,
            mean: Vec::new(),
        }
    }

    /// Compares regions of one photograph, each with the one that it overlaps best.
    fn add(&mut self, ours: &[Detection], reference: &[Detection], scored: bool) {
        self.reference += reference.len();
        let mut used = vec![false; ours.len()];
        for theirs in reference {
            let best = ours
                .iter()
                .enumerate()
                .filter(|(i, _)| !used[*i])
                .max_by(|a, b| a.1.bbox.iou(&theirs.bbox).total_cmp(&b.1.bbox.iou(&theirs.bbox)));
            let Some((i, found)) = best.filter(|(_, found)| found.bbox.iou(&theirs.bbox) > 0.5) else {
                continue;
            };
            used[i] = true;
            self.matched += 1;
            self.overlap = self.overlap.min(found.bbox.iou(&theirs.bbox));
            if scored {
                let apart = (found.score - theirs.score).abs();
                self.score = Some(self.score.map_or(apart, |worst| worst.max(apart)));
            }
            let size = extent(&theirs.points);
            let size = size.width().max(size.height()).max(1e-6);
            let distances: Vec<f32> = found
                .points
                .iter()
                .zip(&theirs.points)
                .map(|(a, b)| 100.0 * (a[0] - b[0]).hypot(a[1] - b[1]) / size)
                .collect();
            self.points = distances.iter().fold(self.points, |worst, d| worst.max(*d));
            self.mean.push(distances.iter().sum::<f32>() / distances.len().max(1) as f32);
        }
        self.extra += used.iter().filter(|used| !**used).count();
    }

    fn print(&self) {
        let score = self.score.map_or("-".into(), |worst| format!("{worst:.4}"));
        let mean = self.mean.iter().sum::<f32>() / self.mean.len().max(1) as f32;
        println!(
            "| {} | {} | {} | {} | {:.3} | {score} | {mean:.2} | {:.2} |",
            self.name, self.reference, self.matched, self.extra, self.overlap, self.points
        );
    }
}

fn points(value: &Value) -> Vec<[f32; 2]> {
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN) as f32;
    value.as_array().into_iter().flatten().map(|p| [number(&p[0]), number(&p[1])]).collect()
}

/// The reference's detections, or landmarks with the box around them.
fn reference(value: &Value) -> Vec<Detection> {
    let one = |value: &Value| {
        if value.is_array() {
            let points = points(value);
            return Detection { bbox: extent(&points), score: 0.0, points };
        }
        let side = |i: usize| value["bbox"][i].as_f64().unwrap_or(f64::NAN) as f32;
        let bbox = Box2 { x0: side(0), y0: side(1), x1: side(2), y1: side(3) };
        Detection {
            bbox,
            score: value["score"].as_f64().unwrap_or(f64::NAN) as f32,
            points: points(&value["points"]),
        }
    };
    value.as_array().into_iter().flatten().map(one).collect()
}

fn whole(points: Vec<[f32; 2]>) -> Detection {
    Detection { bbox: extent(&points), score: 0.0, points }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [models, golden, photos @ ..] = &arguments[..] else {
        return Err("expected MODELS golden.json PHOTO...".into());
    };
    let detectors = Detectors::load(Path::new(models))?;
    let golden: Value = serde_json::from_slice(&std::fs::read(golden)?)?;
    let mut rows = [
        "faces, short range",
        "faces, full range",
        "palms",
        "hands, 21 landmarks",
        "person",
        "pose, 33 landmarks",
        "pose, landmarks in sight",
        "face mesh, 468 landmarks",
    ]
    .map(Row::new);
    for file in photos {
        let picture = photo::read(Path::new(file))?;
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        let theirs = &golden[&*name];
        if theirs.is_null() {
            return Err(format!("{name} is not in the golden file").into());
        }
        let short = detectors.face_short.detect(&picture, THRESHOLD);
        let palms = detectors.palm.detect(&picture, THRESHOLD);
        let hands = detectors.hands(&picture, &palms);
        let people = detectors.person.detect(&picture, THRESHOLD);
        let person = &people[..people.len().min(1)];
        let pose = person.first().and_then(|person| detectors.pose(&picture, person));
        let meshes = short.iter().filter_map(|face| detectors.face(&picture, face));
        let list = |value: &Value| match value {
            Value::Null => Vec::new(),
            value => reference(&Value::Array(vec![value.clone()])),
        };
        rows[0].add(&short, &reference(&theirs["faces_short"]), true);
        rows[1].add(
            &detectors.face_full.detect(&picture, FULL_RANGE),
            &reference(&theirs["faces_full"]),
            true,
        );
        rows[2].add(&palms, &reference(&theirs["palms"]), true);
        let hands: Vec<_> = hands.into_iter().map(|hand| whole(hand.points)).collect();
        rows[3].add(&hands, &reference(&theirs["hands"]), false);
        rows[4].add(person, &list(&theirs["person"]), true);
        let pose: Vec<_> = pose.into_iter().map(|pose| whole(pose.points)).collect();
        let reference_pose = list(&theirs["pose"]);
        // Points out of sight are guesses of the network's: tiny differences of the crop move them far.
        let seen = |all: &Detection| {
            let visible = theirs["visibility"].as_array().into_iter().flatten();
            let pairs = all.points.iter().zip(visible);
            whole(pairs.filter(|(_, v)| v.as_f64() >= Some(0.5)).map(|(p, _)| *p).collect())
        };
        let both = [&pose, &reference_pose].map(|list| list.iter().map(seen).collect::<Vec<_>>());
        rows[6].add(&both[0], &both[1], false);
        rows[5].add(&pose, &reference_pose, false);
        let meshes: Vec<_> = meshes.map(|face| whole(face.points)).collect();
        rows[7].add(&meshes, &reference(&theirs["meshes"]), false);
    }
    println!(
        "{} photographs\n\n| | reference | same | extra | lowest IoU | score, most apart | landmarks, mean % | most % |",
        photos.len()
    );
    println!("|---|---|---|---|---|---|---|---|");
    rows.iter().for_each(Row::print);
    Ok(())
}
