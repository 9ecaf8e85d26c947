//! Control networks in the sampling loop: what is computed once for a batch, and what is added in a step.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairhuman_engine::{Backend, Params, Tape, Var};

use super::Settings;
use super::batch::Batch;
use crate::control::ControlRef;
use crate::controlnet::ControlNetInput;
use crate::net::ModelError;
use crate::unet::{Residuals, TextContext, TextKeyValues, UNetInput};

/// A control network, its images and how much of it is wanted.
pub struct Guide<'a, B: Backend> {
    /// The network.
    pub network: ControlRef<'a, B>,
    /// Control images by the index of their picture: `[height, width, 3]` of the picture's size, in [0, 1];
    /// one for each of `types` behind each other.
    pub images: &'a BTreeMap<u64, Arc<[f32]>>,
    /// Types of a ControlNetUnion's images; empty for other networks, which have one image.
    pub types: &'a [usize],
    /// Factor of all that it adds. At 0 the network does not run.
    pub weight: f32,
    /// First and last share of the evaluations in which it runs, as diffusers counts them: evaluation i of n
    /// if i / n is at least the first and (i + 1) / n at most the last.
    pub span: (f64, f64),
    /// A ControlNet adds less to finer resolutions, and nothing to the prediction without prompt.
    pub guess: bool,
}

impl<B: Backend> Guide<'_, B> {
    /// True if it runs in evaluation `i` of `n`.
    pub fn runs(&self, (i, n): (usize, usize)) -> bool {
        let share = |i: usize| i as f64 / n as f64;
        self.weight != 0.0 && share(i) >= self.span.0 && share(i + 1) <= self.span.1
    }
}

/// A guide made ready for a batch.
pub(super) struct Ready<'a, B: Backend> {
    guide: &'a Guide<'a, B>,
    /// True if it sees the samples with prompts only.
    half: bool,
    made: Made<B>,
}

/// Values that are the same in every step.
enum Made<B: Backend> {
    /// The embedded control images and the text, of all samples that it sees.
    ControlNet {
        hint: Var<B>,
        text: TextKeyValues<B>,
    },
    Features(Vec<Var<B>>),
}

/// Texts `[N, T, D]` of a batch: first of the samples without prompt, if there is guidance, then of those
/// with.
pub(super) struct Texts<'a> {
    pub shape: [usize; 3],
    pub values: &'a [f32],
    pub guided: bool,
}

impl<'a, B: Backend> Ready<'a, B> {
    pub fn new(
        batch: Batch<'_, '_, B>,
        guide: &'a Guide<'a, B>,
        texts: &Texts<'_>,
    ) -> Result<Self, ModelError> {
        let Batch { backend, params, pictures, .. } = batch;
        let Settings { width, height, .. } = *batch.settings;
        let (each, types) = (width * height * 3, guide.types.len().max(1));
        let mut values = vec![Vec::with_capacity(pictures.len() * each); types];
        for picture in pictures {
            match guide.images.get(&picture.index) {
                Some(images) if images.len() == types * each => {
                    values.iter_mut().zip(images.chunks(each)).for_each(|(all, image)| all.extend(image));
                }
                found => {
                    let found =
                        found.map_or("is absent".into(), |image| format!("has {} values", image.len()));
                    let problem = format!(
                        "of picture {} {found}, expected {types} x {height} x {width} x 3",
                        picture.index
                    );
                    return Err(ModelError::Input { model: "sampler", input: "control image", problem });
                }
            }
        }
        let tensor = |values: &Vec<f32>| backend.tensor(&[pictures.len(), height, width, 3], values);
        let images: Vec<B::Tensor> = values.iter().map(tensor).collect();
        let mut tape = Tape::inference(backend, params);
        let half = guide.guess && texts.guided && matches!(guide.network, ControlRef::ControlNet(_));
        let repeats = if texts.guided && !half { 2 } else { 1 };
        let made = match guide.network {
            ControlRef::ControlNet(net) => {
                let hint = repeated(backend, &net.embed_hints(&mut tape, &images, guide.types)?, repeats);
                let [samples, tokens, width] = texts.shape;
                let from = if half { samples / 2 } else { 0 };
                let values = &texts.values[from * tokens * width..];
                let text = backend.tensor(&[samples - from, tokens, width], values);
                Made::ControlNet { hint, text: net.cache_text(backend, params, &text)? }
            }
            ControlRef::Adapter(adapter) => {
                let features = adapter.forward(&mut tape, &images[0])?;
                let features = Residuals { features, ..Residuals::default() };
                let features = features.scaled(&mut tape, guide.weight, false).features;
                Made::Features(features.iter().map(|var| repeated(backend, var, repeats)).collect())
            }
        };
        Ok(Self { guide, half, made })
    }

    /// Residuals of evaluation `at` (i of n) to the U-Net's `input`; nothing where it does not run.
    pub fn residuals(
        &self,
        (tape, params): (&mut Tape<'_, B>, &Params<B>),
        input: &UNetInput<B>,
        at: (usize, usize),
    ) -> Result<Residuals<B>, ModelError> {
        if !self.guide.runs(at) {
            return Ok(Residuals::default());
        }
        let (hint, text) = match &self.made {
            Made::Features(features) => {
                return Ok(Residuals { features: features.clone(), ..Residuals::default() });
            }
            Made::ControlNet { hint, text } => (hint, text),
        };
        let ControlRef::ControlNet(net) = self.guide.network else { return Ok(Residuals::default()) };
        // Its own tape, because the network does not live as long as the U-Net's.
        let backend = tape.backend();
        let mut inner = Tape::inference(backend, params);
        let skipped = if self.half { input.timesteps.len() / 2 } else { 0 };
        let latents = last(backend, &input.latents, skipped);
        let added = match (&input.added, net.config().encoder.added) {
            (Some(added), Some(_)) => Some(crate::unet::Added {
                pooled: Var::constant(last(backend, added.pooled.value(), skipped)),
                time_ids: added.time_ids[skipped..].to_vec(),
            }),
            _ => None,
        };
        let input = ControlNetInput {
            latents: &latents,
            timesteps: &input.timesteps[skipped..],
            text: &TextContext::Cached(text.clone()),
            added: added.as_ref(),
            hint,
            types: self.guide.types,
        };
        let residuals = net.forward(&mut inner, &input)?;
        let residuals = residuals.scaled(&mut inner, self.guide.weight, self.guide.guess);
        let whole = |var: Var<B>| if skipped > 0 { after_zeros(backend, &var) } else { var };
        Ok(Residuals {
            skips: residuals.skips.into_iter().map(whole).collect(),
            mid: residuals.mid.map(whole),
            features: Vec::new(),
        })
    }
}

/// A constant, `times` over along the samples.
fn repeated<B: Backend>(backend: &B, var: &Var<B>, times: usize) -> Var<B> {
    if times == 1 {
        return var.clone();
    }
    let mut shape = var.shape().to_vec();
    shape[0] *= times;
    Var::constant(backend.tensor(&shape, &backend.read(var.value()).repeat(times)))
}

/// As many samples of zeros, then the constant.
fn after_zeros<B: Backend>(backend: &B, var: &Var<B>) -> Var<B> {
    let mut shape = var.shape().to_vec();
    shape[0] *= 2;
    let values = backend.read(var.value());
    Var::constant(backend.tensor(&shape, &[vec![0.0; values.len()], values].concat()))
}

/// All samples but the first `skipped`.
fn last<B: Backend>(backend: &B, tensor: &B::Tensor, skipped: usize) -> B::Tensor {
    if skipped == 0 {
        return tensor.clone();
    }
    let mut shape = B::shape(tensor).to_vec();
    let each = shape[1..].iter().product::<usize>();
    shape[0] -= skipped;
    backend.tensor(&shape, &backend.read(tensor)[skipped * each..])
}
