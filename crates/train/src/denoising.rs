//! Denoisers: networks that predict the noise (or the velocity) of noisy latents.

use std::ops::Range;

use fairhuman_diffusion::control::ControlNetwork;
use fairhuman_diffusion::pipeline::TextEncoders;
use fairhuman_diffusion::unet::{Added, Residuals, UNet, UNetInput};
use fairhuman_engine::{Backend, Lanes, ParamGrads, Params, Tape, Var};

use crate::batch::{Batch, Inputs, Targets, part};
use crate::controlled::Controlled;
use crate::method::full::Whole;
use crate::method::lora::Adapted;
use crate::module::{LossInputs, Pass, PassContext, TrainingModule, Wants};
use crate::objective;
use crate::step_error::{StepError, refuse_non_finite};

/// The inputs of a denoiser.
#[derive(Debug, Clone, PartialEq)]
pub struct DenoisingInputs {
    /// zt, `[N, height, width, channels]` of the targets.
    pub noisy: Vec<f32>,
    /// t of every sample.
    pub timesteps: Vec<usize>,
    /// The captions.
    pub text: TextInputs,
    /// SDXL's size and crop conditions, `[N, 6]`; empty for models without.
    pub time_ids: Vec<f32>,
}

/// Captions as a denoiser takes them.
#[derive(Debug, Clone, PartialEq)]
pub enum TextInputs {
    /// Embeddings from frozen text encoders.
    Embedded {
        /// `[N, tokens, width]`.
        prompt: Vec<f32>,
        /// Tokens per text.
        tokens: usize,
        /// SDXL's pooled embedding, `[N, P]`; empty for models without.
        pooled: Vec<f32>,
    },
    /// Token ids per text encoder and sample, where the text encoders are trained.
    Tokens(Vec<Vec<Vec<u32>>>),
}

impl Inputs for DenoisingInputs {
    fn append(&mut self, next: &Self) -> Result<(), String> {
        self.noisy.extend(&next.noisy);
        self.timesteps.extend(&next.timesteps);
        self.time_ids.extend(&next.time_ids);
        self.text.append(&next.text)
    }

    fn slice(&self, size: usize, range: Range<usize>) -> Self {
        Self {
            noisy: part(&self.noisy, size, &range),
            timesteps: part(&self.timesteps, size, &range),
            text: self.text.slice(size, &range),
            time_ids: part(&self.time_ids, size, &range),
        }
    }

    fn numbers(&self) -> Vec<(&'static str, &[f32])> {
        let mut lists = vec![("noisy latents", self.noisy.as_slice())];
        if let TextInputs::Embedded { prompt, pooled, .. } = &self.text {
            lists.extend([("text embedding", prompt.as_slice()), ("pooled text embedding", pooled)]);
        }
        lists.push(("size conditions", &self.time_ids));
        lists
    }

    fn timesteps(&self) -> &[usize] {
        &self.timesteps
    }
}

impl TextInputs {
    fn append(&mut self, next: &Self) -> Result<(), String> {
        match (self, next) {
            (
                TextInputs::Embedded { prompt, tokens, pooled },
                TextInputs::Embedded { prompt: next, tokens: count, pooled: next_pooled },
            ) if tokens == count => {
                prompt.extend(next);
                pooled.extend(next_pooled);
                Ok(())
            }
            (TextInputs::Tokens(texts), TextInputs::Tokens(next)) => {
                texts.iter_mut().zip(next).for_each(|(texts, next)| texts.extend_from_slice(next));
                Ok(())
            }
            _ => Err("the samples of a batch have texts of different lengths".into()),
        }
    }

    fn slice(&self, size: usize, range: &Range<usize>) -> Self {
        match self {
            TextInputs::Embedded { prompt, tokens, pooled } => TextInputs::Embedded {
                prompt: part(prompt, size, range),
                tokens: *tokens,
                pooled: part(pooled, size, range),
            },
            TextInputs::Tokens(texts) => {
                TextInputs::Tokens(texts.iter().map(|texts| part(texts, size, range)).collect())
            }
        }
    }
}

/// A network that predicts what the noise schedule asks for: as [`Denoising`] it can be trained.
pub trait Denoiser<B: Backend>: Sync {
    /// Its inputs.
    type Inputs: Inputs;

    /// The prediction `[N, h, w, C]` for `batch`.
    ///
    /// # Errors
    /// Inputs that do not fit the network, in words.
    fn predict<'m>(&'m self, tape: &mut Tape<'m, B>, batch: &Batch<Self::Inputs>) -> Result<Var<B>, String>;
}

/// A denoiser whose prediction is compared with the target.
pub struct Denoising<'a, D>(pub &'a D);

/// Implements [`TrainingModule`] for a denoiser, by [`Denoising`].
macro_rules! train_as_denoiser {
    (impl<B: Backend $(, $generic:ident: $bound:path)?> $network:ty) => {
        impl<B: Backend $(, $generic: $bound)?> TrainingModule<B> for $network {
            type Inputs = <Self as Denoiser<B>>::Inputs;

            fn pass(
                &self,
                context: &PassContext<'_, B>,
                params: &Params<B>,
                of: &LossInputs<'_, Self::Inputs>,
            ) -> Result<Pass<B>, StepError> {
                Denoising(self).pass(context, params, of)
            }

            fn losses(
                &self,
                backend: &B,
                params: &Params<B>,
                of: &LossInputs<'_, Self::Inputs>,
            ) -> Result<Vec<Vec<f64>>, String> {
                Denoising(self).losses(backend, params, of)
            }
        }
    };
}

train_as_denoiser!(impl<B: Backend> Adapted<B>);
train_as_denoiser!(impl<B: Backend> Whole<B>);
train_as_denoiser!(impl<B: Backend, C: ControlNetwork<B>> Controlled<B, C>);

impl<B: Backend, D: Denoiser<B>> TrainingModule<B> for Denoising<'_, D> {
    type Inputs = D::Inputs;

    fn pass(
        &self,
        context: &PassContext<'_, B>,
        params: &Params<B>,
        of: &LossInputs<'_, D::Inputs>,
    ) -> Result<Pass<B>, StepError> {
        let LossInputs { objectives, batch, divisors, present, wants } = *of;
        let (backend, targets) = (context.backend, &batch.targets);
        let lanes = match wants {
            Wants::Sum(_) => Lanes::single(targets.size),
            Wants::Gradients | Wants::Products => of.lanes(),
        };
        let start = (context.clock)();
        let mut tape = context.tape(params);
        let output = self.0.predict(&mut tape, batch).map_err(|problem| StepError::Shape { problem })?;
        let prediction = backend.read(output.value());
        let forward = (context.clock)();
        let losses = objective::losses(objectives, targets, divisors, &prediction);
        refuse_non_finite(objectives, &losses)?;
        let mut grads = match wants {
            Wants::Products => ParamGrads::products_only(params, &lanes),
            Wants::Gradients | Wants::Sum(_) => ParamGrads::new(params, &lanes),
        };
        if !lanes.is_empty() {
            let cotangent = match wants {
                Wants::Sum(coefficients) => {
                    let sum = coefficients(&losses)?;
                    objective::combined_cotangent(objectives, targets, divisors, &sum, &prediction)
                }
                _ => objective::cotangents(objectives, targets, divisors, present, &prediction),
            };
            let shape = [lanes.len(), targets.height, targets.width, targets.channels];
            let cotangent = backend.tensor(&shape, &cotangent);
            tape.backward(&output, cotangent, &lanes, &[], &mut grads);
        }
        backend.synchronize();
        let backward = (context.clock)();
        Ok(Pass { losses, prediction, grads, forward: forward - start, backward: backward - forward })
    }

    fn losses(
        &self,
        backend: &B,
        params: &Params<B>,
        of: &LossInputs<'_, D::Inputs>,
    ) -> Result<Vec<Vec<f64>>, String> {
        let prediction = backend.scope(|| {
            let output = self.0.predict(&mut Tape::inference(backend, params), of.batch)?;
            Ok::<_, String>(backend.read(output.value()))
        })?;
        Ok(objective::losses(of.objectives, &of.batch.targets, of.divisors, &prediction))
    }
}

impl<B: Backend> Denoiser<B> for UNet<B> {
    type Inputs = DenoisingInputs;

    fn predict<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        batch: &Batch<DenoisingInputs>,
    ) -> Result<Var<B>, String> {
        let input = embedded_input(self, tape, &batch.targets, &batch.inputs)?;
        self.forward(tape, &input).map_err(|e| e.to_string())
    }
}

/// The prediction of a U-Net and the text encoders that are trained with it.
///
/// # Errors
/// Captions as embeddings, inputs that do not fit the networks.
pub(crate) fn predict_with_text_encoders<'m, B: Backend>(
    unet: &'m UNet<B>,
    text: &'m TextEncoders<B>,
    tape: &mut Tape<'m, B>,
    batch: &Batch<DenoisingInputs>,
) -> Result<Var<B>, String> {
    let TextInputs::Tokens(texts) = &batch.inputs.text else {
        return Err("expected captions as token ids, found embeddings".into());
    };
    let (text, pooled) = text.forward(tape, texts).map_err(|e| e.to_string())?;
    let input = input(unet, tape, &batch.targets, &batch.inputs, text, pooled);
    unet.forward(tape, &input).map_err(|e| e.to_string())
}

/// A U-Net's input with captions as embeddings.
///
/// # Errors
/// Captions as token ids.
pub(crate) fn embedded_input<B: Backend>(
    unet: &UNet<B>,
    tape: &Tape<'_, B>,
    targets: &Targets,
    inputs: &DenoisingInputs,
) -> Result<UNetInput<B>, String> {
    let TextInputs::Embedded { prompt, tokens, pooled } = &inputs.text else {
        return Err("expected captions as embeddings, found token ids".into());
    };
    let (backend, n) = (tape.backend(), targets.size);
    let width = prompt.len() / (n * tokens).max(1);
    let text = backend.tensor(&[n, *tokens, width], prompt);
    let width = pooled.len() / n.max(1);
    let pooled = (width > 0).then(|| Var::constant(backend.tensor(&[n, width], pooled)));
    Ok(input(unet, tape, targets, inputs, Var::constant(text), pooled))
}

fn input<B: Backend>(
    unet: &UNet<B>,
    tape: &Tape<'_, B>,
    targets: &Targets,
    inputs: &DenoisingInputs,
    text: Var<B>,
    pooled: Option<Var<B>>,
) -> UNetInput<B> {
    let shape = [targets.size, targets.height, targets.width, targets.channels];
    UNetInput {
        latents: tape.backend().tensor(&shape, &inputs.noisy),
        timesteps: inputs.timesteps.iter().map(|&t| t as f32).collect(),
        text: text.into(),
        added: unet
            .config()
            .added
            .and(pooled)
            .map(|pooled| Added { pooled, time_ids: inputs.time_ids.as_chunks::<6>().0.to_vec() }),
        residuals: Residuals::default(),
    }
}
