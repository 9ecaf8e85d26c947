//! The denoising U-Net (`UNet2DConditionModel`) of SD 1.5, SD 2.x and SDXL, read from a diffusers folder.
//!
//! Latents and text go in, the prediction (noise or velocity) comes out. Images are `[N, H, W, C]`. Each
//! resnet and each transformer block is a checkpoint of the tape.

pub(crate) mod blocks;
mod config;
mod embed;
mod structure;
mod text;

use std::path::{Path, PathBuf};

use fairhuman_engine::{Activation, Backend, DType, Params, Tape, Var};

pub use config::{AddedConfig, UNetConfig};
pub(crate) use structure::halving;
use structure::{Embed, Stage, Structure};
use text::Words;
pub use text::{Keys, Text};

use crate::lora::{AdaptedModule, LoraSpec};
use crate::lora_file::LoraFile;
use crate::net::{Layers, ModelError, Plan, Trainable};
use crate::weights::WeightFiles;

const MODEL: &str = "U-Net";

/// A loaded U-Net.
pub struct UNet<B: Backend> {
    folder: PathBuf,
    config: UNetConfig,
    structure: Structure,
    pub(crate) layers: Layers<B>,
}

/// What a U-Net looks at.
pub struct UNetInput<B: Backend> {
    /// Noisy latents, `[N, h, w, C]`. Any size that the network can halve down to at least one position.
    pub latents: B::Tensor,
    /// Timestep of each sample.
    pub timesteps: Vec<f32>,
    /// The text of each sample.
    pub text: Text<B>,
    /// SDXL's added conditions; none for SD 1.5 and 2.x.
    pub added: Option<Added<B>>,
}

/// SDXL's added conditions.
pub struct Added<B: Backend> {
    /// Pooled text embedding, `[N, P]`.
    pub pooled: Var<B>,
    /// Of each sample: original height and width, top and left of the crop, target height and width, in pixels.
    pub time_ids: Vec<[f32; 6]>,
}

/// All layers of the U-Net that a configuration describes.
pub fn plan(config: &UNetConfig) -> Plan {
    let mut plan = Plan::default();
    Structure::new(config, &mut plan);
    plan
}

impl<B: Backend> UNet<B> {
    /// Reads `config.json` and the weights of a `unet/` folder. With [`Trainable::All`] every weight becomes
    /// a parameter named `unet.<tensor>`.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings that are not supported, tensors that are missing, left over
    /// or of another shape.
    pub fn load(backend: &B, folder: &Path, trainable: Trainable<'_, B>) -> Result<Self, ModelError> {
        let config = UNetConfig::open(&folder.join("config.json"))?;
        let files = WeightFiles::open(folder)?;
        let mut plan = Plan::default();
        let structure = Structure::new(&config, &mut plan);
        let layers = Layers::load(backend, &files, plan, "unet", trainable, &[])?;
        Ok(Self { folder: folder.into(), config, structure, layers })
    }

    /// Its configuration.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The folder that it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its layers by name.
    pub fn layers(&self) -> &Layers<B> {
        &self.layers
    }

    /// The prediction, `[N, h, w, out_channels]`.
    ///
    /// # Errors
    /// Inputs whose shapes do not fit the configuration or each other.
    pub fn forward<'m>(&'m self, tape: &mut Tape<'m, B>, input: &UNetInput<B>) -> Result<Var<B>, ModelError> {
        self.check(input)?;
        let net = &self.layers;
        let s = &self.structure;
        let time = self.embed_time(tape, input);
        let mut words = Words::new(&input.text);
        let latents = Var::constant(input.latents.clone());
        let mut x = net.conv(tape, s.conv_in, &latents, None, None);
        let mut skips = vec![x.clone()];
        for Stage { layers, resample } in &s.down {
            for (resnet, attention) in layers {
                x = resnet.forward(net, tape, &x, Some(&time));
                if let Some(attention) = attention {
                    x = attention.forward(net, tape, &x, &mut words);
                }
                skips.push(x.clone());
            }
            if let Some(conv) = *resample {
                x = net.conv(tape, conv, &x, None, None);
                skips.push(x.clone());
            }
        }
        if let Some(middle) = &s.middle {
            x = middle.first.forward(net, tape, &x, Some(&time));
            x = middle.attention.forward(net, tape, &x, &mut words);
            x = middle.last.forward(net, tape, &x, Some(&time));
        }
        for Stage { layers, resample } in &s.up {
            for (resnet, attention) in layers {
                if let Some(skip) = skips.pop() {
                    x = resnet.forward_joined(net, tape, &x, &skip, &time);
                }
                if let Some(attention) = attention {
                    x = attention.forward(net, tape, &x, &mut words);
                }
            }
            if let (Some(conv), Some(skip)) = (*resample, skips.last()) {
                // To the size on the other side, which is not the double where an odd size was halved.
                let size = (skip.shape()[1], skip.shape()[2]);
                x = tape.checkpoint(&[&x], move |tape, v| {
                    let larger = tape.resize_nearest(&v[0], size);
                    net.conv(tape, conv, &larger, None, None)
                });
            }
        }
        let x = net.group_norm(tape, s.norm_out, &x, true);
        Ok(net.conv(tape, s.conv_out, &x, None, None))
    }

    /// The time embedding with SDXL's conditions, after the SiLU that every resnet would apply, `[N, T]`.
    fn embed_time<'m>(&'m self, tape: &mut Tape<'m, B>, input: &UNetInput<B>) -> Var<B> {
        let c = &self.config;
        let backend = tape.backend();
        let n = input.timesteps.len();
        let sinusoids =
            |values: &[f32], width| embed::sinusoids(values, width, c.flip_sin_to_cos, c.freq_shift);
        let time = backend.tensor(&[n, c.channels[0]], &sinusoids(&input.timesteps, c.channels[0]));
        let mut time = self.embed(tape, self.structure.time, Var::constant(time), None);
        if let (Some(layers), Some(settings), Some(added)) = (self.structure.added, c.added, &input.added) {
            let ids = sinusoids(added.time_ids.as_flattened(), settings.time_dim);
            let ids = Var::constant(backend.tensor(&[n, 6 * settings.time_dim], &ids));
            let conditions = tape.concat(&added.pooled, &ids);
            time = self.embed(tape, layers, conditions, Some(&time));
        }
        tape.activation(&time, Activation::Silu)
    }

    fn embed<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        layers: Embed,
        x: Var<B>,
        plus: Option<&Var<B>>,
    ) -> Var<B> {
        let h = self.layers.linear(tape, layers.first, &x, None);
        let h = tape.activation(&h, Activation::Silu);
        self.layers.linear(tape, layers.second, &h, plus)
    }

    fn check(&self, input: &UNetInput<B>) -> Result<(), ModelError> {
        let c = &self.config;
        let latents = B::shape(&input.latents);
        let n = match *latents {
            [n, h, w, channels] if n > 0 && h > 0 && w > 0 && channels == c.in_channels => n,
            _ => {
                return Err(ModelError::shape(
                    MODEL,
                    "latents",
                    latents,
                    &format!("[N, h, w, {}]", c.in_channels),
                ));
            }
        };
        self.check_words(&input.text, n)?;
        let one_each = |input, found: usize| match found == n {
            true => Ok(()),
            false => Err(ModelError::shape(MODEL, input, &[found], &format!("[{n}], one for each sample"))),
        };
        one_each("timesteps", input.timesteps.len())?;
        let problem = |problem: &str| {
            Err(ModelError::Input { model: MODEL, input: "added conditions", problem: problem.into() })
        };
        match (&input.added, c.added) {
            (None, None) => Ok(()),
            (Some(_), None) => problem("are given, but this network has none (it is not SDXL's)"),
            (None, Some(_)) => problem("are absent, but this network (SDXL's) needs pooled text and sizes"),
            (Some(added), Some(settings)) => {
                let pooled = added.pooled.shape();
                if pooled != [n, settings.pooled] {
                    return Err(ModelError::shape(
                        MODEL,
                        "pooled text",
                        pooled,
                        &format!("[{n}, {}]", settings.pooled),
                    ));
                }
                one_each("time_ids", added.time_ids.len())
            }
        }
    }
}

impl<B: Backend> UNet<B> {
    /// Adds a fresh LoRA; see [`Layers::add_lora`]. Parameters are called `lora.<module>.lora_A.weight` and
    /// `lora.<module>.lora_B.weight`.
    ///
    /// # Errors
    /// Rank 0, a target that names no module, a module that already has a LoRA.
    pub fn add_lora(
        &mut self,
        backend: &B,
        params: &mut Params<B>,
        spec: &LoraSpec,
    ) -> Result<Vec<AdaptedModule>, ModelError> {
        self.layers.add_lora(backend, params, "lora", spec)
    }

    /// Puts LoRA files, each times its weight, onto this network; see [`Layers::attach_lora`].
    ///
    /// # Errors
    /// A module that the network lacks, factors of another shape, a module that already has a LoRA.
    pub fn attach_lora(
        &mut self,
        backend: &B,
        params: &mut Params<B>,
        files: &[(&LoraFile, f32)],
    ) -> Result<Vec<AdaptedModule>, ModelError> {
        self.layers.attach_lora(backend, params, "lora", "unet", files)
    }

    /// The current values of `modules`, to be written with [`crate::lora_file::write_lora`].
    ///
    /// # Errors
    /// A module that is not in this network.
    pub fn export_lora(
        &self,
        backend: &B,
        params: &Params<B>,
        modules: &[AdaptedModule],
        dtype: DType,
    ) -> Result<LoraFile, ModelError> {
        self.layers.export_lora(backend, params, "unet", modules, dtype)
    }

    /// Paths of all modules that can carry a LoRA, with `unet.` before them: what
    /// [`crate::lora_file::read_lora`] looks names up in.
    pub fn lora_modules(&self) -> Vec<String> {
        self.layers.adaptable().iter().map(|module| format!("unet.{module}")).collect()
    }
}
