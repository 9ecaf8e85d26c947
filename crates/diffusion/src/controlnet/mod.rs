//! ControlNet (Zhang et al. 2023, arXiv 2302.05543): a copy of a U-Net's first half that sees a control image
//! and whose outputs, through convolutions that start at zero, are added to the U-Net's skips and middle.

mod config;
mod files;
mod hint;

use std::path::Path;

use fairhuman_engine::{Backend, Params, Tape, Var};

pub use config::ControlNetConfig;
pub use files::cldm_names;
use hint::HintStack;

use crate::config_check::Config;
use crate::control;
use crate::net::{Fresh, LayerInit, Layers, LinearId, ModelError, Plan, Trainable};
use crate::unet::{
    Added, ContextCursor, Encoder, EncoderInput, Given, Residuals, TextAttentions, TextContext,
    TextKeyValues, UNetInput,
};
use crate::weights::WeightFiles;

const MODEL: &str = "ControlNet";
/// Parameters are named `controlnet.<tensor>`.
const COMPONENT: &str = "controlnet";
/// Names of the layers that a U-Net lacks begin with this.
const OWN: &str = "controlnet_";

/// A loaded ControlNet.
pub struct ControlNet<B: Backend> {
    config: ControlNetConfig,
    parts: Parts,
    layers: Layers<B>,
}

/// The structure, by ids of layers.
struct Parts {
    encoder: Encoder,
    hint: HintStack,
    /// One for each skip.
    skips: Vec<LinearId>,
    mid: LinearId,
}

/// Inputs of a ControlNet: those of the U-Net that it is for, and its control image.
pub struct ControlNetInput<'a, B: Backend> {
    /// Noisy latents, `[N, h, w, C]`.
    pub latents: &'a B::Tensor,
    /// Timestep of each sample.
    pub timesteps: &'a [f32],
    /// The text of each sample: embeddings, or what [`ControlNet::cache_text`] made of them. A U-Net's cached
    /// text is not a ControlNet's.
    pub text: &'a TextContext<B>,
    /// SDXL's added conditions.
    pub added: Option<&'a Added<B>>,
    /// [`ControlNet::embed_hint`] of each sample's control image, `[N, h, w, channels]`.
    pub hint: &'a Var<B>,
}

impl<'a, B: Backend> ControlNetInput<'a, B> {
    /// The same latents, time and text as a U-Net's, whose text must be embeddings.
    pub fn of(input: &'a UNetInput<B>, hint: &'a Var<B>) -> Self {
        let UNetInput { latents, timesteps, text, added, .. } = input;
        Self { latents, timesteps, text, added: added.as_ref(), hint }
    }
}

/// Start of the layers that a U-Net lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The last convolutions at zero: the U-Net predicts what it did without. For training.
    Zero,
    /// All of them at random: a ControlNet that changes predictions, without meaning. For tests.
    Random,
}

/// All layers of a ControlNet.
pub fn plan(config: &ControlNetConfig) -> Plan {
    parts(config).0
}

fn parts(config: &ControlNetConfig) -> (Plan, Parts) {
    let mut plan = Plan::default();
    let encoder = Encoder::plan(&config.encoder, &mut plan);
    let hint = HintStack::plan(config, &mut plan);
    let skips = encoder.skip_channels().into_iter().enumerate();
    let skips =
        skips.map(|(i, c)| plan.zero_pointwise(format!("controlnet_down_blocks.{i}"), c, c)).collect();
    let middle = config.encoder.channels[config.encoder.channels.len() - 1];
    let mid = plan.zero_pointwise("controlnet_mid_block", middle, middle);
    (plan, Parts { encoder, hint, skips, mid })
}

impl<B: Backend> ControlNet<B> {
    /// Reads a ControlNet: a diffusers folder, or one file with diffusers' names or those of the original
    /// code ("cldm"), whose settings are those of the U-Net in `unet` (its folder) for what a file does not
    /// say. With [`Trainable::All`] every weight becomes a parameter named `controlnet.<tensor>`, by
    /// diffusers' names.
    ///
    /// # Errors
    /// Files that are missing, damaged or of another kind, settings that are not supported, tensors that are
    /// missing, left over or of another shape.
    pub fn load(
        backend: &B,
        path: &Path,
        unet: &Path,
        trainable: Trainable<'_, B>,
    ) -> Result<Self, ModelError> {
        let (config, files) = files::open(path, unet)?;
        if config.global_pool && !matches!(trainable, Trainable::None) {
            let problem = "has \"global_pool_conditions\": such networks are used, but not trained".into();
            return Err(ModelError::Folder { path: path.into(), problem });
        }
        let (plan, parts) = parts(&config);
        let layers = Layers::load(backend, &files, plan, COMPONENT, trainable, &[]);
        let layers = layers.map_err(|error| {
            let problem = format!("is no ControlNet for the U-Net of {}", unet.display());
            control::unfit(path, &problem, error)
        })?;
        Ok(Self { config, parts, layers })
    }

    /// A copy of the first half of the U-Net in the folder `unet`, with new layers around it: the start of
    /// training. `hint_channels` as [`ControlNetConfig::hint_for`] gives them; random values are functions of
    /// `seed` and names.
    ///
    /// # Errors
    /// Files that cannot be read, a U-Net that a ControlNet cannot copy.
    pub fn from_unet(
        backend: &B,
        unet: &Path,
        hint_channels: &[usize],
        (start, seed): (Start, u64),
        trainable: Trainable<'_, B>,
    ) -> Result<Self, ModelError> {
        let path = unet.join("config.json");
        let config = ControlNetConfig::of_unet(&path, &Config::parse(&path)?, 3, hint_channels)?;
        let files = WeightFiles::open(unet)?;
        let (mut plan, parts) = parts(&config);
        if start == Start::Random {
            plan.linears.iter_mut().for_each(|layer| layer.init = LayerInit::KaimingUniform);
            plan.convs.iter_mut().for_each(|layer| layer.init = LayerInit::KaimingUniform);
        }
        let fresh = Fresh { prefixes: &[OWN], seed };
        let layers = Layers::load_part(backend, &files, plan, COMPONENT, trainable, fresh)?;
        Ok(Self { config, parts, layers })
    }

    /// Its configuration.
    pub fn config(&self) -> &ControlNetConfig {
        &self.config
    }

    /// Its layers by name.
    pub fn layers(&self) -> &Layers<B> {
        &self.layers
    }

    /// Embeds control images `[N, f h, f w, C]` of values in [0, 1] for latents `[h, w]`; grey ones have
    /// equal channels. Depends on nothing else, so sampling does it once for all its steps.
    ///
    /// # Errors
    /// Another number of channels, sides that are no multiples of f.
    pub fn embed_hint<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        pixels: &B::Tensor,
    ) -> Result<Var<B>, ModelError> {
        let (f, inputs) = (self.config.reduction(), self.config.hint_inputs);
        match *B::shape(pixels) {
            [n, h, w, c] if n * h * w > 0 && h % f == 0 && w % f == 0 && c == inputs => {}
            ref found => {
                let expected = format!("[N, H, W, {inputs}], H and W multiples of {f}");
                return Err(ModelError::shape(MODEL, "control image", found, &expected));
            }
        }
        let pixels = match self.config.bgr {
            true => {
                let mut values = tape.backend().read(pixels);
                values.chunks_exact_mut(inputs).for_each(<[f32]>::reverse);
                tape.backend().tensor(B::shape(pixels), &values)
            }
            false => pixels.clone(),
        };
        Ok(self.parts.hint.forward(&self.layers, tape, &Var::constant(pixels)))
    }

    /// Residuals for the U-Net's skips and middle, at full weight; see [`Residuals::scaled`].
    ///
    /// # Errors
    /// Inputs whose shapes do not fit the configuration or each other.
    pub fn forward<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        input: &ControlNetInput<'_, B>,
    ) -> Result<Residuals<B>, ModelError> {
        let ControlNetInput { latents, timesteps, text, added, hint } = *input;
        let given = Given { latents: B::shape(latents), timesteps, text, added };
        let (n, (h, w)) = given.check(&self.config.encoder, &self.text_attentions())?;
        let expected = [n, h, w, self.config.encoder.channels[0]];
        if hint.shape() != expected {
            let f = self.config.reduction();
            let expected = format!("{expected:?}: a control image of {}x{} pixels each", f * w, f * h);
            return Err(ModelError::shape(MODEL, "embedded control image", hint.shape(), &expected));
        }
        let (net, parts) = (&self.layers, &self.parts);
        let time = parts.encoder.embed_time(net, tape, &self.config.encoder, timesteps, added);
        let latents = Var::constant(latents.clone());
        let input = EncoderInput { latents: &latents, time: &time, hint: Some(hint), features: &[] };
        let encoded = parts.encoder.forward(net, tape, &input, &mut ContextCursor::new(text));
        let skips = parts.skips.iter().zip(&encoded.skips);
        let skips = skips.map(|(&zero, skip)| net.linear(tape, zero, skip, None)).collect();
        let mid = net.linear(tape, parts.mid, &encoded.mid, None);
        let residuals = Residuals { skips, mid: Some(mid), features: Vec::new() };
        Ok(if self.config.global_pool { pooled(tape.backend(), &residuals) } else { residuals })
    }

    /// Keys and values of text embeddings `[N, T, D]`; constants, for passes without gradients.
    ///
    /// # Errors
    /// Embeddings of another width.
    pub fn cache_text(
        &self,
        backend: &B,
        params: &Params<B>,
        embeddings: &B::Tensor,
    ) -> Result<TextKeyValues<B>, ModelError> {
        self.text_attentions().cache(backend, params, embeddings)
    }

    fn text_attentions(&self) -> TextAttentions<'_, B> {
        TextAttentions {
            model: MODEL,
            layers: &self.layers,
            transformers: self.parts.encoder.transformers().collect(),
            width: self.config.encoder.text_width,
        }
    }
}

/// Every residual replaced by its mean over all positions, at every position; constants.
fn pooled<B: Backend>(backend: &B, residuals: &Residuals<B>) -> Residuals<B> {
    let mean = |var: &Var<B>| {
        let &[n, h, w, c] = var.shape() else { unreachable!("images have four dimensions") };
        let sum = backend.sum_positions(var.value());
        let mean = backend.reshape(&backend.scale(&sum, 1.0 / (h * w) as f32), &[n, 1, 1, c]);
        Var::constant(backend.resize_nearest(&mean, (h, w)))
    };
    Residuals {
        skips: residuals.skips.iter().map(mean).collect(),
        mid: residuals.mid.as_ref().map(mean),
        features: Vec::new(),
    }
}
