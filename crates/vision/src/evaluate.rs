//! Recall and precision of face and hand detection against annotated photographs.
//!
//! Reads COCO-WholeBody annotations (arXiv 2007.11858: `face_box`, `lefthand_box`, `righthand_box` with
//! `*_valid` flags) and the key points of drawn people. Detected and annotated regions are matched one to
//! one, best overlaps first, from an intersection over union of [`OVERLAP`] on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::detect::{DetectOptions, Detections, Instance};
use crate::geometry::Box2;
use crate::photo;
use crate::pipeline::Pipeline;

/// Intersection over union from which a detected region matches an annotated one.
pub const OVERLAP: f32 = 0.3;

/// An annotated photograph.
#[derive(Debug, Clone, PartialEq)]
pub struct GroundTruth {
    /// The photograph.
    pub photo: PathBuf,
    /// Annotated faces.
    pub faces: Vec<Box2>,
    /// Annotated hands.
    pub hands: Vec<Box2>,
}

/// Counts over all photographs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Annotated regions.
    pub annotated: usize,
    /// Detected regions.
    pub detected: usize,
    /// Detected regions that match an annotated one.
    pub true_positives: usize,
    /// Largest number of false positives in a single photograph.
    pub max_false_positives: usize,
}

impl Score {
    /// Fraction of the annotated regions that were detected; `None` if nothing is annotated.
    pub fn recall(&self) -> Option<f64> {
        (self.annotated > 0).then(|| self.true_positives as f64 / self.annotated as f64)
    }

    /// Fraction of the detected regions that are annotated; `None` if nothing was detected.
    pub fn precision(&self) -> Option<f64> {
        (self.detected > 0).then(|| self.true_positives as f64 / self.detected as f64)
    }

    fn add(&mut self, found: &[Instance], annotated: &[Box2]) -> usize {
        let matched = true_positives(found, annotated);
        self.annotated += annotated.len();
        self.detected += found.len();
        self.true_positives += matched;
        self.max_false_positives = self.max_false_positives.max(found.len() - matched);
        found.len() - matched
    }
}

/// Scores of faces and hands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores {
    /// Faces.
    pub faces: Score,
    /// Hands.
    pub hands: Score,
    /// Largest number of false positives, faces and hands together, in a single photograph.
    pub max_false_positives: usize,
}

impl Scores {
    fn add(&mut self, found: &Detections, truth: &GroundTruth) {
        let wrong = self.faces.add(&found.faces, &truth.faces) + self.hands.add(&found.hands, &truth.hands);
        self.max_false_positives = self.max_false_positives.max(wrong);
    }
}

/// Scores on the same photographs without and with the zoom pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of photographs.
    pub photographs: usize,
    /// MediaPipe on whole photographs.
    pub whole: Scores,
    /// With the zoom pass.
    pub zoom: Scores,
}

/// Error of [`evaluate()`] and of reading annotations.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The annotations could not be read.
    #[error("{file}: {reason}")]
    Annotations {
        /// The file or folder.
        file: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A photograph could not be read.
    #[error(transparent)]
    Photo(#[from] photo::PhotoError),
    /// A network of the user's cannot run.
    #[error("{photo}: {reason}")]
    Network {
        /// The photograph.
        photo: PathBuf,
        /// Reason given by the network's runtime.
        reason: String,
    },
}

/// Runs the detectors on every photograph without and with the zoom pass. `done` is called from any thread
/// with the number of photographs finished.
pub fn evaluate(
    truths: &[GroundTruth],
    pipeline: &Pipeline,
    done: &(dyn Fn(usize) + Sync),
) -> Result<Evaluation, EvaluateError> {
    let finished = AtomicUsize::new(0);
    let detections = truths
        .par_iter()
        .with_max_len(1)
        .map(|truth| {
            let photo = photo::read(&truth.photo)?;
            let detect = |zoom| {
                let fail = |reason| EvaluateError::Network { photo: truth.photo.clone(), reason };
                pipeline.detect(&photo, DetectOptions { zoom }).map_err(fail)
            };
            let both = [detect(false)?, detect(true)?];
            done(finished.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(both)
        })
        .collect::<Result<Vec<_>, EvaluateError>>()?;
    let mut evaluation = Evaluation { photographs: truths.len(), ..Default::default() };
    for (truth, [whole, zoom]) in truths.iter().zip(&detections) {
        evaluation.whole.add(whole, truth);
        evaluation.zoom.add(zoom, truth);
    }
    Ok(evaluation)
}

/// Number of true positives: each annotated region is matched once, best overlaps first.
fn true_positives(found: &[Instance], annotated: &[Box2]) -> usize {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (f, region) in found.iter().enumerate() {
        for (a, truth) in annotated.iter().enumerate() {
            pairs.push((region.bbox.iou(truth), f, a));
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut used_f, mut used_a) = (vec![false; found.len()], vec![false; annotated.len()]);
    let mut matched = 0;
    for (overlap, f, a) in pairs {
        if overlap >= OVERLAP && !used_f[f] && !used_a[a] {
            (used_f[f], used_a[a]) = (true, true);
            matched += 1;
        }
    }
    matched
}

fn parse(file: &Path) -> Result<Value, EvaluateError> {
    let fail = |reason: String| EvaluateError::Annotations { file: file.into(), reason };
    let bytes = fairhuman_files::read(file).map_err(|e| fail(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))
}

/// Reads COCO-WholeBody annotations of photographs in a folder.
pub fn read_wholebody(file: &Path, photos: &Path) -> Result<Vec<GroundTruth>, EvaluateError> {
    let json = parse(file)?;
    let fail = |reason: String| EvaluateError::Annotations { file: file.into(), reason };
    let list = |key: &str| {
        let list = json[key].as_array();
        list.ok_or_else(|| fail(format!("expected a list `{key}` as in COCO annotations")))
    };
    let mut by_image: HashMap<i64, GroundTruth> = HashMap::new();
    for image in list("images")? {
        if let (Some(id), Some(name)) = (image["id"].as_i64(), image["file_name"].as_str()) {
            let truth = GroundTruth { photo: photos.join(name), faces: Vec::new(), hands: Vec::new() };
            by_image.insert(id, truth);
        }
    }
    if by_image.is_empty() {
        return Err(fail("expected photographs in `images`, found none".into()));
    }
    let people = list("annotations")?;
    let flags = ["face_valid", "lefthand_valid", "righthand_valid"];
    if !people.iter().any(|person| flags.iter().any(|flag| person[flag].is_boolean())) {
        let flags = flags.join(", ");
        return Err(fail(format!("expected COCO-WholeBody annotations, found none with {flags}")));
    }
    for person in people {
        let Some(truth) = person["image_id"].as_i64().and_then(|id| by_image.get_mut(&id)) else {
            continue;
        };
        let region = |part: &str| {
            let valid = person[format!("{part}_valid")].as_bool() == Some(true);
            let value = |i: usize| person[format!("{part}_box")][i].as_f64().map(|v| v as f32);
            let (x0, y0, w, h) = (value(0)?, value(1)?, value(2)?, value(3)?);
            (valid && w > 0.0 && h > 0.0).then_some(Box2 { x0, y0, x1: x0 + w, y1: y0 + h })
        };
        truth.faces.extend(region("face"));
        truth.hands.extend(region("lefthand"));
        truth.hands.extend(region("righthand"));
    }
    let mut truths: Vec<GroundTruth> = by_image.into_values().collect();
    truths.sort_by(|a, b| a.photo.cmp(&b.photo));
    Ok(truths)
}

/// Reads a folder of drawn people (`images/` and `keypoints/`); regions are boxes around the visible points.
pub fn read_people(folder: &Path) -> Result<Vec<GroundTruth>, EvaluateError> {
    let keypoints = folder.join("keypoints");
    let entries = std::fs::read_dir(&keypoints)
        .map_err(|e| EvaluateError::Annotations { file: keypoints.clone(), reason: e.to_string() })?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut truths = Vec::new();
    for file in files {
        let json = parse(&file)?;
        let photo = folder.join(json["image"].as_str().unwrap_or_default());
        let mut truth = GroundTruth { photo, faces: Vec::new(), hands: Vec::new() };
        for figure in json["figures"].as_array().into_iter().flatten() {
            truth.faces.extend(drawn(&figure["face"], |name| !name.contains("ear")));
            for hand in ["left_hand", "right_hand"] {
                truth.hands.extend(drawn(&figure[hand]["points"], |_| true));
            }
        }
        truths.push(truth);
    }
    if truths.is_empty() {
        let reason = "expected key points of drawn people (.json), found none".into();
        return Err(EvaluateError::Annotations { file: keypoints, reason });
    }
    Ok(truths)
}

/// The box around drawn points; `None` unless most of them are visible.
fn drawn(points: &Value, counts: impl Fn(&str) -> bool) -> Option<Box2> {
    let points: Vec<&Value> =
        points.as_array()?.iter().filter(|p| counts(p["name"].as_str().unwrap_or_default())).collect();
    let seen: Vec<[f32; 2]> = points
        .iter()
        .filter(|p| p["visibility"].as_u64() == Some(2))
        .filter_map(|p| Some([p["x"].as_f64()? as f32, p["y"].as_f64()? as f32]))
        .collect();
    if 2 * seen.len() > points.len() { Box2::around(&seen) } else { None }
}

#[cfg(test)]
mod tests {
    use super::{Box2, Instance, Score, read_people, read_wholebody, true_positives};
    use crate::detect::Source;

    #[test]
    fn nothing_of_nothing_is_no_share() {
        let score = Score { annotated: 4, detected: 0, true_positives: 0, max_false_positives: 0 };
        assert_eq!((score.recall(), score.precision()), (Some(0.0), None));
        assert_eq!(Score::default().recall(), None);
    }

    #[test]
    fn a_file_without_photographs_or_without_whole_bodies_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.json");
        let read = |text: &str| {
            std::fs::write(&file, text).expect("a file");
            read_wholebody(&file, folder.path()).map_err(|e| e.to_string())
        };
        let image = r#""images": [{"id": 1, "file_name": "a.jpg"}]"#;
        let person = r#"{"image_id": 1, "face_box": [1, 2, 3, 4], "face_valid": true}"#;
        let error = read(&format!(r#"{{"images": [], "annotations": [{person}]}}"#)).expect_err("refused");
        assert!(error.contains("a.json: expected photographs"), "{error}");
        let error =
            read(&format!(r#"{{{image}, "annotations": [{{"image_id": 1}}]}}"#)).expect_err("refused");
        assert!(error.contains("expected COCO-WholeBody annotations"), "{error}");
        let truths = read(&format!(r#"{{{image}, "annotations": [{person}]}}"#)).expect("annotations");
        assert_eq!((truths.len(), truths[0].faces.len(), truths[0].hands.len()), (1, 1, 0));
        std::fs::create_dir(folder.path().join("keypoints")).expect("a folder");
        assert!(read_people(folder.path()).expect_err("refused").to_string().contains("found none"));
    }

    #[test]
    fn an_annotated_region_counts_once() {
        let square = |x0: f32| Box2 { x0, y0: 0.0, x1: x0 + 10.0, y1: 10.0 };
        let found =
            |x0: f32| Instance { bbox: square(x0), score: 1.0, source: Source::Whole, points: vec![] };
        assert_eq!(true_positives(&[found(0.0), found(1.0)], &[square(0.0)]), 1);
        assert_eq!(true_positives(&[found(0.0), found(1.0)], &[square(0.0), square(2.0)]), 2);
        assert_eq!(true_positives(&[found(9.0)], &[square(0.0)]), 0);
        assert_eq!(true_positives(&[], &[square(0.0)]), 0);
    }
}
