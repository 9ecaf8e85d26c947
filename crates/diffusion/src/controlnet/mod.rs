//! ControlNet (Zhang et al. 2023, arXiv 2302.05543): a copy of a U-Net's first half that sees a control image
//! and whose outputs, through convolutions that start at zero, are added to the U-Net's skips and middle.

mod config;
mod files;
mod hint;
mod union;

use std::path::Path;

use fairhuman_engine::{Backend, Params, Tape, Var};
use serde_json::Value;

pub use config::ControlNetConfig;
pub(crate) use config::UNIONS;
pub use files::cldm_names;
use hint::HintStack;
use union::Union;
pub use union::{UnionConfig, control_type, control_types};

use crate::config_check::Config;
use crate::control::{self, ControlNetwork, ControlRef};
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
    union: Option<Union>,
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
    /// Types of a union's control images; empty for other networks.
    pub types: &'a [usize],
}

impl<'a, B: Backend> ControlNetInput<'a, B> {
    /// The same latents, time and text as a U-Net's, whose text must be embeddings.
    pub fn of(input: &'a UNetInput<B>, hint: &'a Var<B>) -> Self {
        let UNetInput { latents, timesteps, text, added, .. } = input;
        Self { latents, timesteps, text, added: added.as_ref(), hint, types: &[] }
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

/// Checks a ControlNet's folder or file that is to be trained on, reading no weights: [`ControlNet::load`]
/// takes it where this does.
///
/// # Errors
/// As [`ControlNet::load`].
pub fn check_files(path: &Path, unet: &Path) -> Result<(), ModelError> {
    let (config, files) = files::open(path, unet)?;
    check_trainable(path, &config)?;
    plan(&config).check(&files, &[]).map_err(|error| unfit(path, unet, error))
}

/// Refuses kinds that are used, and not trained.
fn check_trainable(path: &Path, config: &ControlNetConfig) -> Result<(), ModelError> {
    let refused = if config.union.is_some() {
        "is a ControlNetUnion"
    } else if config.global_pool {
        "has \"global_pool_conditions\""
    } else {
        return Ok(());
    };
    let problem = format!(
        "{refused}: such networks are used, but not trained; train an ordinary ControlNet, or a new one, \
         which begins as a copy of the U-Net"
    );
    Err(ModelError::Folder { path: path.into(), problem })
}

fn unfit(path: &Path, unet: &Path, error: ModelError) -> ModelError {
    let problem = format!("is no ControlNet for the U-Net of {}", unet.display());
    control::unfit(path, &problem, error)
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
    let union = config.union.map(|union| Union::plan(union, &config.encoder, &mut plan));
    (plan, Parts { encoder, hint, skips, mid, union })
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
        if !matches!(trainable, Trainable::None) {
            check_trainable(path, &config)?;
        }
        let (plan, parts) = parts(&config);
        let layers = Layers::load(backend, &files, plan, COMPONENT, trainable, &[]);
        let layers = layers.map_err(|error| unfit(path, unet, error))?;
        Ok(Self { config, parts, layers })
    }

    /// A copy of the first half of the U-Net in the folder `unet`, with new layers around it: the start of
    /// training. Of a U-Net for inpainting (9 channels) the first convolution is copied for the latents, the
    /// first 4, which are all that a ControlNet is shown. `hint_channels` as [`ControlNetConfig::hint_for`]
    /// gives them; random values are functions of `seed` and names.
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
        let files = files::first_latents(&config.encoder, WeightFiles::open(unet)?)?;
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

    /// Embeds control images `[N, f h, f w, C]` of values in [0, 1] for latents `[h, w]`; grey ones have
    /// equal channels. Depends on nothing else, so sampling does it once for all its steps.
    ///
    /// # Errors
    /// Another number of channels, sides that are no multiples of f; a union, which needs types.
    pub fn embed_hint<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        pixels: &B::Tensor,
    ) -> Result<Var<B>, ModelError> {
        self.embed_hints(tape, std::slice::from_ref(pixels), &[])
    }

    /// The same for a union: the sum over images of these types.
    ///
    /// # Errors
    /// As [`ControlNet::embed_hint`]; not one image for each type, types that the network has not.
    pub fn embed_hints<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        images: &[B::Tensor],
        types: &[usize],
    ) -> Result<Var<B>, ModelError> {
        self.config.check_types(types)?;
        let count = types.len().max(1);
        if images.len() != count || images.iter().any(|image| B::shape(image) != B::shape(&images[0])) {
            let shapes: Vec<&[usize]> = images.iter().map(B::shape).collect();
            let problem = format!("have shapes {shapes:?}, expected {count} of one shape");
            return Err(ModelError::Input { model: MODEL, input: "control images", problem });
        }
        let mut sum = self.embed_one(tape, &images[0], types.first())?;
        for (image, kind) in images.iter().zip(types).skip(1) {
            let hint = self.embed_one(tape, image, Some(kind))?;
            sum = tape.add(&sum, &hint);
        }
        Ok(sum)
    }

    fn embed_one<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        pixels: &B::Tensor,
        kind: Option<&usize>,
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
        let hint = self.parts.hint.forward(&self.layers, tape, &Var::constant(pixels));
        Ok(match (&self.parts.union, kind) {
            (Some(union), Some(&kind)) => union.fused(&self.layers, tape, &hint, kind),
            _ => hint,
        })
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
        let ControlNetInput { latents, timesteps, text, added, hint, types } = *input;
        self.config.check_types(types)?;
        let given = Given { latents: B::shape(latents), timesteps, text, added };
        let (n, (h, w)) = given.check(&self.config.encoder, &self.text_attentions())?;
        let expected = [n, h, w, self.config.encoder.channels[0]];
        if hint.shape() != expected {
            let f = self.config.reduction();
            let expected = format!("{expected:?}: a control image of {}x{} pixels each", f * w, f * h);
            return Err(ModelError::shape(MODEL, "embedded control image", hint.shape(), &expected));
        }
        let (net, parts) = (&self.layers, &self.parts);
        let union = parts.union.as_ref().zip(self.config.union);
        let types =
            union.map(|(union, c)| union.embed_types(net, tape, (c, &self.config.encoder), (types, n)));
        let more = (added, types.as_ref());
        let time = parts.encoder.embed_time(net, tape, &self.config.encoder, timesteps, more);
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

impl<B: Backend> ControlNetwork<B> for ControlNet<B> {
    fn residuals<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        input: &UNetInput<B>,
        pixels: &B::Tensor,
    ) -> Result<Residuals<B>, ModelError> {
        let hint = self.embed_hint(tape, pixels)?;
        self.forward(tape, &ControlNetInput::of(input, &hint))
    }

    fn by_ref(&self) -> ControlRef<'_, B> {
        ControlRef::ControlNet(self)
    }

    fn layers(&self) -> &Layers<B> {
        &self.layers
    }

    fn settings(&self) -> Value {
        self.config.value.clone()
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
