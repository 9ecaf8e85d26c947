//! The U-Net's conditions beside the latents, and its guided prediction.

use fairhuman_engine::{Backend, Tape, Var};

use super::Picture;
use super::batch::Batch;
use super::guidance::guided;
use super::guide::{Ready, Texts};
use crate::net::ModelError;
use crate::pipeline::{Family, ModelFolder};
use crate::unet::{Added, Residuals, TextContext, TextKeyValues, UNetInput};

/// Texts, sizes and control images of a batch: of guided pictures first all negatives, then all prompts.
pub(super) struct Conditions<'a, B: Backend> {
    text: TextKeyValues<B>,
    samples: usize,
    pooled: Option<B::Tensor>,
    size: [f32; 6],
    /// The guidance scale, where there is guidance.
    guidance: Option<f64>,
    /// See [`Settings::guidance_rescale`].
    rescale: f64,
    guides: Vec<Ready<'a, B>>,
}

/// Embedding and pooled embedding of one text.
type Encoded = (Vec<f32>, Vec<f32>);

impl<'a, B: Backend> Conditions<'a, B> {
    /// Encodes the texts of `pictures`, each text once, and what control images need.
    pub fn new(batch: Batch<'_, 'a, B>) -> Result<Self, ModelError> {
        let Batch { backend, parts, params, settings, pictures } = batch;
        let guidance = Some(settings.guidance).filter(|&scale| scale > 1.0);
        let negative = |picture: &Picture| match (&picture.negative, zeros_for_negative(parts.folder)) {
            (None, true) => None,
            (negative, _) => Some(negative.clone().unwrap_or_default()),
        };
        // None stands for zeros.
        let mut wanted: Vec<Option<String>> = Vec::new();
        if guidance.is_some() {
            wanted.extend(pictures.iter().map(negative));
        }
        wanted.extend(pictures.iter().map(|picture| Some(picture.prompt.clone())));

        let mut texts: Vec<&str> = wanted.iter().flatten().map(String::as_str).collect();
        texts.sort_unstable();
        texts.dedup();
        let encoded = parts.text.encode_with(backend.exact(), params, &texts)?;
        let shape = B::shape(&encoded.embeddings);
        let (tokens, width) = (shape[1], shape[2]);
        let embeddings = backend.read(&encoded.embeddings);
        let pooled_width = encoded.pooled.as_ref().map_or(0, |pooled| B::shape(pooled)[1]);
        let pooled = encoded.pooled.as_ref().map_or_else(Vec::new, |pooled| backend.read(pooled));
        let row = |values: &[f32], width: usize, at: usize| values[at * width..(at + 1) * width].to_vec();
        let look_up = |text: &Option<String>| -> Encoded {
            match text.as_deref().and_then(|text| texts.binary_search(&text).ok()) {
                Some(at) => (row(&embeddings, tokens * width, at), row(&pooled, pooled_width, at)),
                None => (vec![0.0; tokens * width], vec![0.0; pooled_width]),
            }
        };
        let (text, pooled): (Vec<_>, Vec<_>) = wanted.iter().map(look_up).unzip();
        let n = wanted.len();
        let (height, width_of_picture) = (settings.height as f32, settings.width as f32);
        let (shape, values) = ([n, tokens, width], text.concat());
        let text = backend.tensor(&shape, &values);
        let texts = Texts { shape, values: &values, guided: guidance.is_some() };
        let ready = |guide| Ready::new(batch, guide, &texts);
        let guides = parts.guides.iter().filter(|guide| guide.weight != 0.0).map(ready);
        Ok(Self {
            text: parts.unet.cache_text(backend, params, &text)?,
            samples: n,
            pooled: encoded.pooled.is_some().then(|| backend.tensor(&[n, pooled_width], &pooled.concat())),
            // As large as the original, nothing cropped.
            size: [height, width_of_picture, 0.0, 0.0, height, width_of_picture],
            guidance,
            rescale: settings.guidance_rescale,
            guides: guides.collect::<Result<_, _>>()?,
        })
    }

    /// The guided prediction at `x`, which has `shape [N, h, w, C]`, in evaluation `at` (i of n) of the
    /// network. `seen` are channels that the U-Net alone is given behind those of `x`.
    pub fn predict(
        &self,
        batch: Batch<'_, '_, B>,
        shape: &[usize; 4],
        (x, seen): (&[f32], Option<&[f32]>),
        (timestep, at): (f64, (usize, usize)),
    ) -> Result<Vec<f32>, ModelError> {
        let Batch { backend, parts, params, .. } = batch;
        let &[pictures, h, w, channels] = shape;
        let n = self.samples;
        let mut tape = Tape::inference(backend, params);
        let mut input =
            UNetInput {
                latents: backend.tensor(&[n, h, w, channels], &x.repeat(n / pictures)),
                timesteps: vec![timestep as f32; n],
                text: TextContext::Cached(self.text.clone()),
                added: parts.unet.config().added.and(self.pooled.as_ref()).map(|pooled| Added {
                    pooled: Var::constant(pooled.clone()),
                    time_ids: vec![self.size; n],
                }),
                residuals: Residuals::default(),
            };
        for guide in &self.guides {
            let more = guide.residuals((&mut tape, params), &input, at)?;
            input.residuals = std::mem::take(&mut input.residuals).plus(&mut tape, more)?;
        }
        if let Some(seen) = seen {
            let values = behind(x, seen, pictures * h * w).repeat(n / pictures);
            let channels = values.len() / (n * h * w);
            input.latents = backend.tensor(&[n, h, w, channels], &values);
        }
        let prediction = parts.unet.forward(&mut tape, &input)?;
        let prediction = backend.read(prediction.value());
        let Some(scale) = self.guidance else { return Ok(prediction) };
        let halves = prediction.split_at(prediction.len() / 2);
        Ok(guided(halves, pictures, scale, self.rescale))
    }
}

/// True if SDXL's zeros stand for an absent negative prompt.
fn zeros_for_negative(folder: &ModelFolder) -> bool {
    folder.family == Family::Sdxl && folder.zeros_for_empty_prompt
}

/// Channels of two maps of as many cells, behind each other.
fn behind(a: &[f32], b: &[f32], cells: usize) -> Vec<f32> {
    let each = |values: &[f32]| (values.len() / cells.max(1)).max(1);
    let pairs = a.chunks_exact(each(a)).zip(b.chunks_exact(each(b)));
    pairs.flat_map(|(a, b)| a.iter().chain(b).copied().collect::<Vec<_>>()).collect()
}
