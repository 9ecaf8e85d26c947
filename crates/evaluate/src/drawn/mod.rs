//! The judge of drawn people: a small detector of the people that `fairhuman people` draws and the built-in
//! model has learnt. It finds faces, hands and eyes, and reads what the fingers do. Of photographs it knows
//! nothing.
//!
//! Its weights are part of the program; `reference/judge_training.py` makes them, and says how.

mod caption;
mod hands;
mod maps;
mod network;

use fairhuman_engine::Backend;
use fairhuman_files::sha256_hex;

pub use caption::gesture;
pub use hands::GESTURES;
pub use network::{Networks, SIDE};

use crate::error::EvaluateError;
use crate::judge::{Better, Item, Judge, Metric};

/// The findings in one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// True if a face is seen.
    pub face: bool,
    /// Hands seen.
    pub hands: usize,
    /// Confidence of each eye that is seen, the highest first.
    pub eyes: Vec<f32>,
    /// The most certain gesture of the hands, if any hand does more than rest.
    pub gesture: Option<&'static str>,
}

impl Found {
    /// The mean confidence of the two most certain eyes; one that is not seen has 0.
    pub fn eye_confidence(&self) -> f32 {
        self.eyes.iter().take(2).sum::<f32>() / 2.0
    }
}

/// The judge on a backend.
pub struct DrawnPeople<'b, B: Backend> {
    backend: &'b B,
    networks: Networks<B>,
    identity: String,
    metrics: Vec<Metric>,
}

impl<'b, B: Backend> DrawnPeople<'b, B> {
    /// Prepares the weights.
    ///
    /// # Errors
    /// None with a program that is whole.
    pub fn new(backend: &'b B) -> Result<Self, EvaluateError> {
        use Better::Higher;
        let metrics = vec![
            Metric::new("drawn.face", Higher, "1 where a face is seen, else 0"),
            Metric::new("drawn.hand", Higher, "1 where a hand is seen, else 0"),
            Metric::new("drawn.two_eyes", Higher, "1 where exactly two eyes are seen, else 0"),
            Metric::new(
                "drawn.eye_confidence",
                Higher,
                "mean confidence of two eyes, 0 for one that is not seen",
            ),
            Metric::new(
                "drawn.gesture",
                Higher,
                "1 where the hands show the prompt's gesture, else 0; no score for prompts that name none",
            ),
        ];
        let identity = format!("drawn people, weights sha256:{}", sha256_hex(network::WEIGHTS));
        Ok(Self { backend, networks: Networks::new(backend)?, identity, metrics })
    }
}

impl<B: Backend> Judge for DrawnPeople<'_, B> {
    fn name(&self) -> &'static str {
        "drawn"
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn batch(&self) -> usize {
        network::BATCH
    }

    fn score(&self, items: &[Item<'_>]) -> Result<Vec<Vec<Option<f64>>>, EvaluateError> {
        let side = SIDE as u32;
        if let Some(item) = items.iter().find(|item| item.image.dimensions() != (side, side)) {
            let (width, height) = item.image.dimensions();
            return Err(EvaluateError::Judge {
                judge: "drawn",
                picture: item.picture.file.display().to_string(),
                problem: format!(
                    "has {width} x {height} pixels; this judge reads the built-in model's pictures, {side} x {side}"
                ),
            });
        }
        let values: Vec<Vec<f32>> = items.iter().map(|item| network::values(item.image)).collect();
        let found = self.networks.look(self.backend, &values);
        let is = |yes: bool| Some(f64::from(u8::from(yes)));
        let scores = items.iter().zip(found).map(|(item, found)| {
            let asked = item.picture.prompt.as_deref().and_then(gesture);
            vec![
                is(found.face),
                is(found.hands > 0),
                is(found.eyes.len() == 2),
                Some(f64::from(found.eye_confidence())),
                asked.and_then(|asked| is(found.gesture == Some(asked))),
            ]
        });
        Ok(scores.collect())
    }
}
