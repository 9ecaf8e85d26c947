//! ImageReward (Xu et al. 2023): BLIP's vision transformer, a BERT that looks at its patches, and an affine
//! map of the first token's state.

mod bert;
mod layout;
mod wordpiece;

use std::path::Path;

use fairhuman_diffusion::net::ModelError;
use fairhuman_engine::{Backend, Params, Tape};

use crate::clip::collapsed;
use crate::error::EvaluateError;
use crate::judge::{Better, Item, Judge, Metric};
use crate::network::{Reader, Vit, digest, open};
use crate::preprocess::{CLIP, Fit, values};
use bert::Bert;
use wordpiece::WordPiece;

/// Mean and deviation of the rewards on the model's training prompts, by which they are normalised.
const MEAN: f64 = 0.167_173_628_300_524_26;
const DEVIATION: f64 = 1.033_339_496_605_407_2;

/// Pictures of one pass.
const BATCH: usize = 8;

/// Layers of the affine map, of which a training head's names begin with this.
const MAP: &str = "mlp.layers";

/// ImageReward on a backend.
pub struct ImageReward<'b, B: Backend> {
    backend: &'b B,
    vision: Vit<B>,
    text: Bert<B>,
    words: WordPiece,
    weights: Vec<f64>,
    constant: f64,
    identity: String,
    metrics: Vec<Metric>,
}

impl<'b, B: Backend> ImageReward<'b, B> {
    /// Reads a folder with the weights as safetensors, `med_config.json`, and the vocabulary of
    /// bert-base-uncased, `vocab.txt`.
    ///
    /// # Errors
    /// A pickle, files that are missing or damaged.
    pub fn open(backend: &'b B, folder: &Path) -> Result<Self, EvaluateError> {
        let words = WordPiece::open(&folder.join("vocab.txt"))?;
        let files = open(folder)?;
        let digest = digest(&files)?;
        let (weights, constant) = collapsed(&files, MAP)?;
        let (text, vision) = (layout::text(folder, &files)?, layout::vision(&files)?);
        let files = layout::renamed(files, &vision)?;
        let reader = Reader { backend, files: &files };
        let positions = reader
            .values("vision_model.embeddings.position_embedding.weight", &[vision.tokens(), vision.width])?;
        let width = vision.width;
        let model = Self {
            backend,
            vision: Vit::read(&reader, vision, positions)?,
            text: Bert::read(&reader, text, width)?,
            words,
            weights,
            constant,
            identity: format!(
                "ImageReward, shorter side by Pillow's bicubic, the middle, weights sha256:{digest}"
            ),
            metrics: vec![Metric::new(
                "imagereward.score",
                Better::Higher,
                "ImageReward, normalised to mean 0 and deviation 1 on its training prompts; no score without a prompt",
            )],
        };
        files.finish(&layout::UNUSED).map_err(ModelError::from)?;
        Ok(model)
    }

    /// The rewards of pictures as the vision network reads them, `[3, side, side]` each, for texts as token
    /// ids, one for each picture.
    pub fn rewards(&self, pictures: &[Vec<f32>], texts: &[Vec<u32>]) -> Vec<f64> {
        let params = Params::default();
        let backend = self.backend;
        backend.scope(|| {
            let mut tape = Tape::inference(backend, &params);
            let states = self.vision.forward(&mut tape, pictures);
            let patches = self.vision.normed(&mut tape, &states);
            let shape = patches.shape().to_vec();
            let each = shape[1] * shape[2];
            let all = backend.read(patches.value());
            // Texts differ in length, and padding would have to be masked: each is read by itself.
            let one = |(i, text): (usize, &Vec<u32>)| {
                let patches = backend.tensor(&[1, shape[1], shape[2]], &all[i * each..(i + 1) * each]);
                let state = self.text.first(backend, text, patches);
                let reward: f64 = self.weights.iter().zip(&state).map(|(w, v)| w * f64::from(*v)).sum();
                (reward + self.constant - MEAN) / DEVIATION
            };
            texts.iter().enumerate().map(one).collect()
        })
    }
}

impl<B: Backend> Judge for ImageReward<'_, B> {
    fn name(&self) -> &'static str {
        "imagereward"
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn score(&self, items: &[Item<'_>]) -> Result<Vec<Vec<Option<f64>>>, EvaluateError> {
        let side = self.vision.config().side;
        let with: Vec<(&Item<'_>, &str)> =
            items.iter().filter_map(|item| Some((item, item.picture.prompt.as_deref()?))).collect();
        let pictures: Vec<Vec<f32>> =
            with.iter().map(|(item, _)| values(item.image, side, Fit::Crop, CLIP)).collect();
        let texts: Vec<Vec<u32>> = with.iter().map(|(_, prompt)| self.words.encode(prompt)).collect();
        let rewards = if with.is_empty() { Vec::new() } else { self.rewards(&pictures, &texts) };
        let mut rewards = rewards.into_iter();
        let row = |item: &Item<'_>| vec![item.picture.prompt.as_ref().and_then(|_| rewards.next())];
        Ok(items.iter().map(row).collect())
    }
}
