//! CLIP (Radford et al. 2021) and its descendants: one pair of towers, two layouts of weights, two GELUs.
//! CLIP score, PickScore, HPS v2.1 and the aesthetic predictor are readings of its vectors.

mod aesthetic;
mod config;
mod judge;
mod layout;

use std::path::Path;

use fairhuman_diffusion::clip::ClipText;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Activation, Backend, Linear, Params, Tape};
use image::RgbImage;

pub use aesthetic::Aesthetic;
pub(crate) use aesthetic::collapsed;
pub use judge::{ClipJudge, Reading};

use crate::error::EvaluateError;
use crate::network::{Reader, Vit, digest, open};
use crate::preprocess::{CLIP, Fit, values};
use crate::sets::{Embedder, Features};

/// Tensors that old files carry and nothing is computed from.
const IGNORED: [&str; 2] = ["position_ids", "attn_mask"];

/// Both towers of a CLIP model.
pub struct Clip<B: Backend> {
    vision: Vit<B>,
    visual_projection: Linear<B>,
    text: ClipText<B>,
    logit_scale: f64,
    fit: Fit,
    /// Layout, function and digest, for the record.
    identity: String,
}

impl<B: Backend> Clip<B> {
    /// Reads a folder of transformers' `CLIPModel`, or a safetensors file with open_clip's names (those under
    /// `model.` as well).
    ///
    /// # Errors
    /// A pickle, files that are missing or damaged, tensors that are missing or left over.
    pub fn open(backend: &B, path: &Path, fit: Fit) -> Result<Self, EvaluateError> {
        let files = open(path)?;
        let digest = digest(&files)?;
        // Ports of HPS put the model under a name of its own.
        let files = match files.contains("model.visual.conv1.weight") {
            true => files.renamed(|name| name.strip_prefix("model.").unwrap_or(name).to_owned()),
            false => files,
        };
        let (config, files, layout) = if layout::is_open_clip(&files) {
            let config = config::open_clip(&files)?;
            let files = layout::open_clip(files, &config)?;
            (config, files, "open_clip")
        } else if path.is_dir() {
            let config = config::transformers(path)?;
            let files = layout::transformers(files, &config)?;
            (config, files, "transformers")
        } else {
            let problem = "no CLIP model with open_clip's names (visual.conv1.weight, ...); one of transformers is a folder with its config.json".into();
            return Err(EvaluateError::Weights { path: path.into(), problem });
        };
        let reader = Reader { backend, files: &files };
        let (c, width) = (config.vision.clone(), config.vision.width);
        let positions =
            reader.values("vision_model.embeddings.position_embedding.weight", &[c.tokens(), width])?;
        let gelu = if c.activation == Activation::QuickGelu { "quick GELU" } else { "GELU" };
        let model = Self {
            vision: Vit::read(&reader, c, positions)?,
            visual_projection: reader.linear("visual_projection", width, config.projection, false)?,
            text: ClipText::of_files(backend, config.text, &files, "text")?,
            logit_scale: files.get_scalar("logit_scale").map_err(ModelError::from)?.exp(),
            fit,
            identity: format!("{layout} layout, {gelu}, weights sha256:{digest}"),
        };
        finish(&files)?;
        Ok(model)
    }

    /// The normalised vectors of pictures.
    pub fn picture_vectors(&self, backend: &B, pictures: &[&RgbImage]) -> Vec<Vec<f32>> {
        let side = self.vision.config().side;
        let pictures: Vec<Vec<f32>> =
            pictures.iter().map(|picture| values(picture, side, self.fit, CLIP)).collect();
        self.vectors_of_values(backend, &pictures)
    }

    /// The same of pictures as the vision tower reads them, `[3, side, side]` each.
    pub fn vectors_of_values(&self, backend: &B, pictures: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let params = Params::default();
        backend.scope(|| {
            let mut tape = Tape::inference(backend, &params);
            let states = self.vision.forward(&mut tape, pictures);
            let class = self.vision.class(&mut tape, &states);
            let vectors = tape.linear(&class, &self.visual_projection, None);
            unit_vectors(&backend.read(vectors.value()), pictures.len())
        })
    }

    /// The normalised vectors of texts as token ids, all of one length.
    ///
    /// # Errors
    /// Ids that do not fit the network.
    pub fn text_vectors(&self, backend: &B, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, EvaluateError> {
        let params = Params::default();
        let pooled = backend.scope(|| {
            let output = self.text.forward(&mut Tape::inference(backend, &params), texts)?;
            Ok::<_, ModelError>(backend.read(output.pooled.value()))
        })?;
        Ok(unit_vectors(&pooled, texts.len()))
    }

    /// The factor of PickScore's cosine.
    pub fn logit_scale(&self) -> f64 {
        self.logit_scale
    }

    /// Layout, function of the feed-forward layers, and digest of the weights.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Tokens that the text tower reads at a time, and those that it knows.
    pub fn text_size(&self) -> (usize, usize) {
        (self.text.config().positions, self.text.config().vocabulary)
    }
}

fn finish(files: &WeightFiles) -> Result<(), EvaluateError> {
    Ok(files.finish(&IGNORED).map_err(ModelError::from)?)
}

fn unit_vectors(values: &[f32], count: usize) -> Vec<Vec<f32>> {
    let unit = |vector: &[f32]| {
        let length = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        vector.iter().map(|v| (f64::from(*v) / length) as f32).collect()
    };
    values.chunks_exact((values.len() / count.max(1)).max(1)).map(unit).collect()
}

/// The cosine of two normalised vectors.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// A CLIP model whose picture vectors are features of sets.
pub struct ClipFeatures<'b, B: Backend> {
    /// The backend.
    pub backend: &'b B,
    /// The model; CMMD is defined with ViT-L/14 at 336 pixels.
    pub model: Clip<B>,
}

impl<B: Backend> Embedder for ClipFeatures<'_, B> {
    fn name(&self) -> &'static str {
        "cmmd"
    }

    fn identity(&self) -> &str {
        self.model.identity()
    }

    fn embed(&self, images: &[&RgbImage]) -> Features {
        self.model.picture_vectors(self.backend, images)
    }
}
