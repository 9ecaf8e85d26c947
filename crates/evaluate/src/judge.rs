//! The seam between pictures and what scores them.

use image::RgbImage;

use crate::error::EvaluateError;
use crate::picture_set::Picture;

/// The direction in which a number gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Higher is better.
    Higher,
    /// Lower is better.
    Lower,
}

/// A number that a judge gives to a picture.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Metric {
    /// Its name, which begins with the judge's: `face.presence`.
    pub name: String,
    /// The direction in which it gets better.
    pub better: Better,
    /// Its definition, and what a picture without a score is, in a sentence.
    pub about: String,
}

impl Metric {
    /// A metric.
    pub fn new(name: &str, better: Better, about: &str) -> Self {
        Self { name: name.into(), better, about: about.into() }
    }
}

/// A picture as a judge is given it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Its prompt, and what is expected of it.
    pub picture: &'a Picture,
    /// Its pixels.
    pub image: &'a RgbImage,
}

/// Scores pictures one by one.
pub trait Judge {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Everything that decides its scores beside the picture: digests of weights, conventions.
    fn identity(&self) -> &str;

    /// Its numbers, in their order.
    fn metrics(&self) -> &[Metric];

    /// Pictures that are scored best together.
    fn batch(&self) -> usize;

    /// For each picture the score of each metric, none where the picture has none.
    ///
    /// # Errors
    /// A picture that the judge cannot take.
    fn score(&self, items: &[Item<'_>]) -> Result<Vec<Vec<Option<f64>>>, EvaluateError>;

    /// Notes for a person about what was scored.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
