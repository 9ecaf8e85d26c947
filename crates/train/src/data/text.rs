//! Captions as text embeddings: SDXL's two encoders side by side, or the one encoder of SD 1.5 and 2.x. All
//! captions are encoded before the first step, then the encoders leave the memory. Where tags are shuffled or
//! left out, captions are new at every step: then the encoders stay, and such captions are encoded when they
//! are seen.

use std::collections::{HashMap, HashSet};

use fairhuman_dataset::Dataset;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::{ModelFolder, TextEncoders};
use fairhuman_diffusion::tokenizer::ClipTokenizer;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_engine::Backend;

use super::{DataError, Preparing};
use crate::cache::{Cache, Entry, Key};

/// Captions that are encoded together.
const BATCH: usize = 16;

/// One encoded caption.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Embedding {
    /// `[tokens, width]`.
    pub prompt: Vec<f32>,
    /// Tokens.
    pub tokens: usize,
    /// Pooled embedding; empty for models without.
    pub pooled: Vec<f32>,
}

/// All captions of a dataset, encoded, on disk.
pub(super) struct Captions {
    cache: Cache,
    keys: HashMap<String, [u8; 32]>,
    truncated: usize,
    /// True if there are captions that no list holds.
    varied: bool,
}

impl Captions {
    /// Encodes every caption of `dataset` that is not in the cache, for a U-Net that reads such texts. The
    /// encoders come back where captions that no list holds are to be encoded later.
    pub fn prepare<B: Backend>(
        backend: &B,
        model: &ModelFolder,
        cache: Cache,
        dataset: &Dataset,
        unet: &UNetConfig,
        preparing: Preparing<'_>,
    ) -> Result<(Self, Option<TextEncoders<B>>), DataError> {
        let parts = model.texts();
        let folders: Vec<_> =
            parts.iter().flat_map(|(tokens, weights, _)| [tokens.clone(), weights.clone()]).collect();
        let hash = cache
            .hash_folders(&folders)
            .map_err(|source| DataError::Io { path: model.path.clone(), source })?;
        let mut seen = HashSet::new();
        let captions: Vec<&str> = dataset.items().iter().map(|item| item.caption.as_str()).collect();
        // Captions that are left out are empty ones.
        let empty = dataset.items().iter().any(|item| item.captions.dropout > 0.0).then_some("");
        let every = captions.iter().copied().chain(empty);
        let unique: Vec<&str> = every.filter(|caption| seen.insert(*caption)).collect();
        let varied = dataset.items().iter().any(|item| !item.captions.is_whole());
        let tokenizer = ClipTokenizer::open(&parts[0].0).map_err(ModelError::from)?;
        let mut keys = HashMap::new();
        let mut missing = Vec::new();
        for caption in &unique {
            let key = Key::new("text").with(&hash).with(caption.as_bytes()).finish();
            keys.insert((*caption).to_owned(), key);
            if cache.get(&key).and_then(read).is_none() {
                missing.push((*caption, key));
            }
        }
        let encoders =
            if missing.is_empty() && !varied { None } else { Some(TextEncoders::<B>::load(backend, model)?) };
        if let Some(encoders) = &encoders {
            model.check_text(unet, encoders.width(), encoders.pooled_width())?;
        }
        for (done, batch) in missing.chunks(BATCH).enumerate() {
            preparing("encoding captions", done * BATCH, missing.len())?;
            let Some(encoders) = &encoders else { break };
            let captions: Vec<&str> = batch.iter().map(|(caption, _)| *caption).collect();
            for (text, (caption, key)) in encode(backend, encoders, &captions)?.into_iter().zip(batch) {
                finite(&text, caption)?;
                let width = text.prompt.len() / text.tokens.max(1);
                let entry = Entry::from([
                    ("prompt".to_owned(), (vec![text.tokens, width], text.prompt)),
                    ("pooled".to_owned(), (vec![text.pooled.len()], text.pooled)),
                ]);
                cache.put(key, &entry)?;
            }
        }
        let truncated = captions.iter().filter(|caption| tokenizer.encode(caption).truncated).count();
        Ok((Self { cache, keys, truncated, varied }, encoders.filter(|_| varied)))
    }

    /// The embedding of a caption; none for one that no list holds.
    pub fn get(&self, caption: &str) -> Result<Option<Embedding>, DataError> {
        let key = self.keys.get(caption);
        if key.is_none() && self.varied {
            return Ok(None);
        }
        let entry = key.and_then(|key| self.cache.get(key)).and_then(read);
        entry.map(Some).ok_or_else(|| {
            DataError::Problem(format!(
                "the cache has lost the embedding of the caption {caption:?}; start the same command again"
            ))
        })
    }

    /// Captions with more tokens than the encoder takes.
    pub fn truncated(&self) -> usize {
        self.truncated
    }
}

/// The embedding of a caption that no list holds.
pub(super) fn encode_one<B: Backend>(
    backend: &B,
    encoders: &TextEncoders<B>,
    caption: &str,
) -> Result<Embedding, DataError> {
    let text = encode(backend, encoders, &[caption])?.remove(0);
    finite(&text, caption).map(|()| text)
}

fn finite(text: &Embedding, caption: &str) -> Result<(), DataError> {
    if text.prompt.iter().chain(&text.pooled).all(|v| v.is_finite()) {
        return Ok(());
    }
    Err(DataError::Problem(format!(
        "the text encoders give numbers that are not finite for the caption {caption:?}; are the model's files damaged?"
    )))
}

/// Several captions at once: a large encoder's weights are widened once for all of them.
fn encode<B: Backend>(
    backend: &B,
    encoders: &TextEncoders<B>,
    captions: &[&str],
) -> Result<Vec<Embedding>, DataError> {
    let text = encoders.encode(backend, captions)?;
    let tokens = B::shape(&text.embeddings)[1];
    let prompts = backend.read(&text.embeddings);
    let pooled = text.pooled.map_or_else(Vec::new, |pooled| backend.read(&pooled));
    let count = captions.len();
    let part =
        |values: &[f32], i: usize| values[i * values.len() / count..(i + 1) * values.len() / count].to_vec();
    Ok((0..count)
        .map(|i| Embedding { prompt: part(&prompts, i), tokens, pooled: part(&pooled, i) })
        .collect())
}

fn read(mut entry: Entry) -> Option<Embedding> {
    let (shape, prompt) = entry.remove("prompt")?;
    let (_, pooled) = entry.remove("pooled")?;
    Some(Embedding { prompt, tokens: *shape.first()?, pooled })
}
