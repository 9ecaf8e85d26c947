//! The network that a run trains, as the training step sees it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::lora::{AdaptedModule, LoraInit, LoraSpec};
use fairhuman_diffusion::lora_file::{LoraFile, LoraModule, LoraTensor};
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::pipeline::{ModelFolder, TextEncoders};
use fairhuman_diffusion::unet::{Added, UNet, UNetInput};
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_engine::{Backend, DType, Params, Tape, Var};

use crate::autoencoder::Autoencoder;
use crate::average::Averages;
use crate::batch::Batch;
use crate::gradient::{Denoiser, Denoising, Learner, Pass, Refused, Run, Task};
use crate::recipe::{Init, Lora, Method, Recipe, VaePart};
use crate::recorded::Tensor;

/// What a run trains, its trained values, and their averages where a recipe asks for them.
pub struct Model<B: Backend> {
    /// The network.
    pub network: Network<B>,
    /// The trained values.
    pub params: Params<B>,
    /// Their moving averages.
    pub averages: Option<Averages<B>>,
}

/// A network in training.
pub enum Network<B: Backend> {
    /// A frozen U-Net with an adapter.
    Adapted {
        /// The U-Net.
        unet: UNet<B>,
        /// What carries an adapter.
        modules: Vec<AdaptedModule>,
    },
    /// A whole U-Net, and the text encoders if they are trained with it.
    Whole {
        /// The U-Net.
        unet: UNet<B>,
        /// The text encoders.
        text: Option<TextEncoders<B>>,
    },
    /// An autoencoder.
    Autoencoder(Autoencoder<B>),
}

impl<B: Backend> Model<B> {
    /// Reads what the recipe trains from its model folder; a fresh adapter is drawn from `seed`.
    ///
    /// # Errors
    /// What is wrong with the files, or a target that names nothing.
    pub fn open(backend: &B, recipe: &Recipe, seed: u64) -> Result<Self, ModelError> {
        let folder = ModelFolder::open(&recipe.model.path)?;
        let mut params = Params::default();
        let network = match &recipe.method {
            Method::Lora { lora } => {
                let mut unet = UNet::load(backend, &folder.unet(), Trainable::None)?;
                let modules = unet.add_lora(backend, &mut params, &spec(lora, seed))?;
                Network::Adapted { unet, modules }
            }
            Method::Full { full } => {
                let unet = UNet::load(backend, &folder.unet(), Trainable::All(&mut params))?;
                let text = match full.text_encoders {
                    true => Some(TextEncoders::load_trained(backend, &folder, &mut params)?),
                    false => None,
                };
                Network::Whole { unet, text }
            }
            Method::Vae { vae: settings } => {
                let trainable = match settings.part {
                    VaePart::All => Trainable::All(&mut params),
                    VaePart::Decoder => Trainable::Parts(&mut params, &AutoencoderKl::<B>::DECODER),
                };
                let vae = AutoencoderKl::load(backend, &folder.vae(), trainable)?;
                Network::Autoencoder(Autoencoder { vae, settings: *settings })
            }
        };
        let averages = recipe.ema.map(|decay| Averages::new(backend, &params, decay));
        Ok(Self { network, params, averages })
    }

    /// The values that are looked at and exported: the averages where there are some.
    pub fn shown(&self) -> Cow<'_, Params<B>> {
        match &self.averages {
            Some(averages) => Cow::Owned(averages.params(&self.params)),
            None => Cow::Borrowed(&self.params),
        }
    }
}

impl<B: Backend> Network<B> {
    /// What draws pictures of prompts: the U-Net, and the text encoders if they are trained with it. None for an
    /// autoencoder.
    pub fn draws(&self) -> Option<(&UNet<B>, Option<&TextEncoders<B>>)> {
        match self {
            Network::Adapted { unet, .. } => Some((unet, None)),
            Network::Whole { unet, text } => Some((unet, text.as_ref())),
            Network::Autoencoder(_) => None,
        }
    }
}

impl<B: Backend> Learner<B> for Network<B> {
    fn pass(&self, run: &Run<'_, B>, params: &Params<B>, task: &Task<'_>) -> Result<Pass<B>, Refused> {
        match self {
            Network::Whole { unet, text: Some(text) } => {
                Denoising(&Reading { unet, text }).pass(run, params, task)
            }
            Network::Adapted { unet, .. } | Network::Whole { unet, .. } => {
                Denoising(unet).pass(run, params, task)
            }
            Network::Autoencoder(autoencoder) => autoencoder.pass(run, params, task),
        }
    }

    fn losses(&self, backend: &B, params: &Params<B>, task: &Task<'_>) -> Result<Vec<Vec<f64>>, String> {
        match self {
            Network::Whole { unet, text: Some(text) } => {
                Denoising(&Reading { unet, text }).losses(backend, params, task)
            }
            Network::Adapted { unet, .. } | Network::Whole { unet, .. } => {
                Denoising(unet).losses(backend, params, task)
            }
            Network::Autoencoder(autoencoder) => autoencoder.losses(backend, params, task),
        }
    }
}

fn spec(lora: &Lora, seed: u64) -> LoraSpec {
    LoraSpec {
        rank: lora.rank,
        alpha: lora.alpha as f32,
        targets: targets(&lora.targets),
        init: match lora.init {
            Init::Gaussian => LoraInit::Gaussian,
            Init::Kaiming => LoraInit::Kaiming,
        },
        seed,
    }
}

/// A frozen U-Net and the adapter of a recorded step.
pub struct Adapted<B: Backend> {
    /// The U-Net.
    pub unet: UNet<B>,
    /// What carries an adapter.
    pub modules: Vec<AdaptedModule>,
    /// The adapter's values.
    pub params: Params<B>,
}

/// Reads `unet/` of a model folder and adds the adapter of a recorded step.
///
/// # Errors
/// What is wrong with the files, or an adapter that does not fit the network.
pub fn load_recorded<B: Backend>(
    backend: &B,
    model: &Path,
    tensors: &BTreeMap<String, Tensor>,
    alpha: f64,
) -> Result<Adapted<B>, ModelError> {
    let mut unet = UNet::load(backend, &model.join("unet"), Trainable::None)?;
    let mut params = Params::default();
    let mut file = LoraFile::default();
    for (name, down) in tensors {
        let refuse =
            |problem| Err(ModelError::Lora { problem: format!("the recorded step has {name}, {problem}") });
        let half = |end: &str| name.strip_prefix("lora.")?.strip_suffix(end);
        let Some(module) = half(".lora_A.weight").or_else(|| half(".lora_B.weight")) else {
            return refuse("expected lora.<module>.lora_A.weight or lora_B.weight".to_owned());
        };
        let [a, b] = ["A", "B"].map(|factor| format!("lora.{module}.lora_{factor}.weight"));
        let Some(up) = tensors.get(&b) else { return refuse(format!("but not {b}")) };
        if !tensors.contains_key(&a) {
            return refuse(format!("but not {a}"));
        }
        if *name == b {
            continue;
        }
        let tensor = |t: &Tensor| LoraTensor { dtype: DType::F32, shape: t.shape.clone(), data: t.to_f32() };
        let pair = LoraModule { down: tensor(down), up: tensor(up), alpha: alpha as f32 };
        file.modules.insert(format!("unet.{module}"), pair);
    }
    let modules = unet.attach_lora(backend, &mut params, &[(&file, 1.0)])?;
    Ok(Adapted { unet, modules, params })
}

/// Ends of module names: groups opened up, everything else as it is.
fn targets(list: &[String]) -> Vec<String> {
    let open = |target: &String| -> Vec<String> {
        let group: &[&str] = match target.as_str() {
            "attention" => &["to_q", "to_k", "to_v", "to_out.0"],
            "feed_forward" => &["ff.net.0.proj", "ff.net.2"],
            "conv" => &["conv1", "conv2"],
            other => return vec![other.to_owned()],
        };
        group.iter().map(|&end| end.to_owned()).collect()
    };
    list.iter().flat_map(open).collect()
}

impl<B: Backend> Denoiser<B> for UNet<B> {
    fn predict<'m>(&'m self, tape: &mut Tape<'m, B>, batch: &Batch) -> Result<Var<B>, String> {
        let (backend, n) = (tape.backend(), batch.size);
        let width = batch.prompt.len() / (n * batch.tokens).max(1);
        let text = backend.tensor(&[n, batch.tokens, width], &batch.prompt);
        let width = batch.pooled.len() / n.max(1);
        let pooled = (width > 0).then(|| Var::constant(backend.tensor(&[n, width], &batch.pooled)));
        denoise(self, tape, batch, Var::constant(text), pooled)
    }
}

/// A U-Net and the text encoders that are trained with it.
struct Reading<'a, B: Backend> {
    unet: &'a UNet<B>,
    text: &'a TextEncoders<B>,
}

impl<B: Backend> Denoiser<B> for Reading<'_, B> {
    fn predict<'m>(&'m self, tape: &mut Tape<'m, B>, batch: &Batch) -> Result<Var<B>, String> {
        let (text, pooled) = self.text.forward(tape, &batch.texts).map_err(|e| e.to_string())?;
        denoise(self.unet, tape, batch, text, pooled)
    }
}

fn denoise<'m, B: Backend>(
    unet: &'m UNet<B>,
    tape: &mut Tape<'m, B>,
    batch: &Batch,
    text: Var<B>,
    pooled: Option<Var<B>>,
) -> Result<Var<B>, String> {
    let shape = [batch.size, batch.height, batch.width, batch.channels];
    let input = UNetInput {
        latents: tape.backend().tensor(&shape, &batch.noisy),
        timesteps: batch.timesteps.iter().map(|&t| t as f32).collect(),
        text: text.into(),
        added: unet
            .config()
            .added
            .and(pooled)
            .map(|pooled| Added { pooled, time_ids: batch.time_ids.as_chunks::<6>().0.to_vec() }),
    };
    unet.forward(tape, &input).map_err(|e| e.to_string())
}
