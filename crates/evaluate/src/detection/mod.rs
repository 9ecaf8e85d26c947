//! Faces and hands by the detectors of `fairhuman-vision` in still mode: how many of those that are expected
//! are found, how certain the networks are of them, and how far they lie from where they should.
//!
//! Misses count: a detection rate divides by what is expected, a presence score is 0 where nothing
//! is found. The numbers under `published` are what papers print as "confidences": means over the faces and
//! hands that were found, and of hands the certainty that they are left or right ones.

mod bodies;
mod measures;

use fairhuman_vision::detect::{DetectOptions, Detections, Instance, Source, detect};
use fairhuman_vision::detectors::{Detectors, THRESHOLD};
use fairhuman_vision::models::{self, VERSION};
use fairhuman_vision::skeleton::Skeleton;
use image::RgbImage;
use rayon::prelude::*;

use crate::error::EvaluateError;
use crate::judge::{Better, Item, Judge, Metric};
use crate::picture_set::Expected;
use crate::truth::{Part, Truth};
use measures::{Kind, measures};

/// The judge.
pub struct Detection<'d> {
    detectors: &'d Detectors,
    options: DetectOptions,
    identity: String,
    metrics: Vec<Metric>,
}

impl<'d> Detection<'d> {
    /// With MediaPipe's networks, and the zoom pass for small faces and hands if `zoom`.
    pub fn new(detectors: &'d Detectors, zoom: bool) -> Self {
        use Better::{Higher, Lower};
        let mut metrics = Vec::new();
        for part in ["face", "hand"] {
            let network = if part == "face" { "face detector" } else { "hand-landmark network" };
            let unit = if part == "face" { "the distance of the eyes" } else { "the palm's length" };
            let mut add = |name: &str, better, about: String| {
                metrics.push(Metric::new(&format!("{part}.{name}"), better, &about))
            };
            add("any", Higher, format!("1 where a {part} is found, else 0"));
            add(
                "rate",
                Higher,
                format!("share of the expected {part}s that is found; no score where none is expected"),
            );
            add(
                "presence",
                Higher,
                format!(
                    "score of the {network} for the expected {part}s, or for one where nothing is known, misses 0"
                ),
            );
            add(
                "count_error",
                Lower,
                format!(
                    "difference of the number of {part}s from the exact one; no score where that is not known"
                ),
            );
            add(
                "iou",
                Higher,
                format!(
                    "intersection over union of the {part}s with the wanted boxes, misses 0; no score without these"
                ),
            );
            add(
                "keypoint_error",
                Lower,
                format!(
                    "mean distance of the points of matched {part}s in units of {unit}; no score where none is matched"
                ),
            );
        }
        metrics.push(Metric::new("body.points", Higher, "share of the body points of a control image within 0.2 of the trunk's length of where they should be, misses 0; no score without a skeleton"));
        metrics.push(Metric::new("body.keypoint_error", Lower, "mean distance of the points of matched bodies in units of the trunk's length; no score where none is matched"));
        metrics.push(Metric::new("published.face_confidence", Higher, "mean score of the short-range face detector over the faces that it finds; no score where it finds none"));
        metrics.push(Metric::new("published.hand_confidence", Higher, "mean certainty that a hand is a left or a right one, over the hands that are found; no score where none is"));
        let identity = format!(
            "detection 1, mediapipe {VERSION}, weights sha256:{}, still mode, zoom {zoom}",
            models::digest()
        );
        Self { detectors, options: DetectOptions { zoom }, identity, metrics }
    }

    /// The findings of the detectors in a picture, as what another should show.
    pub fn truth(&self, image: &RgbImage) -> Truth {
        Truth::of_detections(&detect(image, self.detectors, self.options))
    }

    fn one(&self, item: &Item<'_>) -> Vec<Option<f64>> {
        let found = detect(item.image, self.detectors, self.options);
        let hands: Vec<Instance> =
            found.hands.into_iter().filter(|hand| hand.source != Source::Pose).collect();
        let truth = item.picture.truth.as_ref();
        let faces = truth.and_then(|truth| truth.faces.as_deref());
        let wanted = truth.and_then(|truth| truth.hands.as_deref());
        let (heads, wrists) = truth.map(Truth::least).unwrap_or_default();
        let expected = |given: Expected, parts: Option<&[Part]>, least: usize| {
            parts.map_or(given.at_least(least), |parts| Expected::Exactly(parts.len()))
        };
        let mut scores =
            measures(Kind::Face, &found.faces, expected(item.picture.faces, faces, heads), faces);
        scores.extend(measures(Kind::Hand, &hands, expected(item.picture.hands, wanted, wrists), wanted));
        let bodies = Skeleton::of(&Detections { people: found.people, ..Detections::default() }).bodies;
        scores.extend(bodies::measures(&bodies, truth.map_or(&[][..], |truth| truth.bodies.as_slice())));
        scores.extend(self.published(item.image));
        scores
    }

    /// The "confidences" of papers: of the whole picture, in still mode.
    fn published(&self, image: &RgbImage) -> [Option<f64>; 2] {
        let mean = |scores: Vec<f32>| {
            let count = scores.len() as f64;
            (!scores.is_empty()).then(|| scores.into_iter().map(f64::from).sum::<f64>() / count)
        };
        let faces = self.detectors.face_short.detect(image, THRESHOLD);
        let palms = self.detectors.palm.detect(image, THRESHOLD);
        let hands = self.detectors.hands(image, &palms);
        [
            mean(faces.iter().map(|face| face.score).collect()),
            mean(hands.iter().map(|hand| hand.handedness.max(1.0 - hand.handedness)).collect()),
        ]
    }
}

impl Judge for Detection<'_> {
    fn name(&self) -> &'static str {
        "detection"
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn batch(&self) -> usize {
        // Threads take one picture each.
        rayon::current_num_threads().min(16)
    }

    fn score(&self, items: &[Item<'_>]) -> Result<Vec<Vec<Option<f64>>>, EvaluateError> {
        Ok(items.par_iter().with_max_len(1).map(|item| self.one(item)).collect())
    }
}
