//! A recipe as people write it: TOML, unknown keys refused, everything optional that has a default.
//!
//! This file is the reference of the recipe's keys. [`super::resolve`] turns a [`RawRecipe`] into a
//! [`super::Recipe`]; that conversion is the validation.

use std::path::PathBuf;

use fairhuman_dataset::{DatasetSpec, GeometrySpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Device, Precision};
use crate::aggregate::Weighting;
use crate::objective::Normalisation;
use crate::rate::Decay;

/// A recipe as written, without `method` and the table of that name, which belong to a training method (see
/// [`crate::method`]). Relative paths are relative to the recipe's folder.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRecipe {
    /// Number of training steps. Required. With `decay = "constant"` it may be raised later: the same command
    /// then goes on. With a rate that decays to 0 at the last step it is final; a longer run is a new one.
    pub steps: u64,
    /// Decides all random numbers of the run. Default 0.
    pub seed: Option<u64>,
    /// Samples of one forward and backward pass. Default 1.
    pub batch: Option<usize>,
    /// Passes whose gradients are summed, objective by objective, before one step. Default 1. A step sees
    /// `batch * accumulation` samples and its losses are means over all of them: batch 2 with accumulation 2
    /// is the same mathematics as batch 4 in less memory.
    pub accumulation: Option<usize>,
    /// Largest norm of the combined gradient; a longer one is shortened to it. Default 1.0; `inf` for none.
    pub max_grad_norm: Option<f64>,
    /// Gamma of min-SNR weighting (Hang et al. 2023; 5 there), on all objectives alike. Default: off.
    pub min_snr_gamma: Option<f64>,
    /// Steps refused in a row (loss or gradient not finite) after which the run ends. Default 10.
    pub stop_after_bad_steps: Option<u64>,
    /// Keep only the inputs of the network's blocks and compute the rest again in the backward pass: less
    /// memory, about a quarter more time, the same numbers. Default false.
    pub activation_checkpointing: Option<bool>,
    /// `"kept"`: the gradients of all objectives, K numbers for each that is trained, are in memory together.
    /// `"twice"`: only their products are, and a second pass makes the combined gradient: for networks whose
    /// gradients do not fit, such as SDXL's ControlNet. Half as much time again, the same numbers but for
    /// rounding; accumulation must be 1. `"auto"` (default): kept, but twice where by the estimate the
    /// machine has not the memory for all, and they can be made twice.
    #[serde(default)]
    pub gradients: GradientUse,
    /// Where the run computes: `"cpu"` (default), or by libtorch `"cuda"`, `"cuda:N"` or `"torch-cpu"`. A run
    /// that is resumed may change it; the same bits are promised on the same device alone.
    pub device: Option<Device>,
    /// Type of activations and frozen weights: `"f32"` or `"bf16"`; what is trained is f32 with either.
    /// Default: `"bf16"` on `cuda`, else `"f32"`, which is all that `cpu` has.
    pub precision: Option<Precision>,
    /// Threads; 0 for as many as there are cores. Default 0. The same number gives the same bits.
    pub threads: Option<usize>,
    /// The run folder. Default: `runs/NAME` in the current folder, for a recipe file `NAME.toml`.
    pub out: Option<PathBuf>,
    /// Folder of cached latents and text embeddings; several runs may share one. Default: `cache` in the run
    /// folder.
    pub cache: Option<PathBuf>,
    /// The model to fine-tune. Required.
    pub model: RawModel,
    /// The pictures. Required; `path` is its only required key.
    pub dataset: DatasetSpec,
    /// Size, crop and mirroring of the pictures. Latents are cached only with `crop = "center"`: with random
    /// crops nearly every picture is a new one.
    #[serde(default)]
    pub geometry: GeometrySpec,
    /// The objectives, at least one, in the order of weights and matrices. Required.
    #[serde(default)]
    pub objective: Vec<RawObjective>,
    /// Weighting of the objectives' gradients. Default `{ kind = "alpha-fair", alpha = 2.0 }`, the Minimum
    /// Potential Delay weights of the paper. `every`: steps between two that make the gradients of all
    /// objectives; those between have the gradient of their weighted sum alone. `average`: how many of the
    /// Gram matrices the weights are solved for.
    #[serde(default)]
    pub weighting: Weighting,
    /// Decay of an exponential moving average of the trained values, such as 0.999; held-out losses and files
    /// are then the averages'. It rises with the updates t as (1 + t) / (10 + t) up to this value. Default:
    /// none.
    pub ema: Option<f64>,
    /// AdamW.
    #[serde(default)]
    pub optimizer: RawOptimizer,
    /// The learning rate over the steps.
    #[serde(default)]
    pub schedule: RawSchedule,
    /// Checkpoints to resume from.
    #[serde(default)]
    pub checkpoints: RawCheckpoints,
    /// Losses of pictures that are not trained on.
    #[serde(default)]
    pub validation: RawValidation,
    /// Pictures of prompts while training. Default: none.
    pub samples: Option<RawSamples>,
    /// Logs for other programs, beside `events.jsonl`.
    #[serde(default)]
    pub log: Log,
    /// A command that is run when `train` ends. Default: none.
    pub on_end: Option<OnEnd>,
}

/// `[log]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Write `tensorboard/` into the run folder: `tensorboard --logdir RUN` shows losses, weights, cosines,
    /// held-out losses and the pictures of `[samples]`. Default false.
    pub tensorboard: bool,
}

/// `[on_end]`: run by `fairhuman train` when it ends, however it ends, in the current folder. The environment
/// has `RUN` (the run folder), `STATUS` (`done`, `stopped` or `failed`) and `STEP` (steps done). Not run by a
/// command that is refused because another process trains in the run folder: that run has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OnEnd {
    /// The program and its arguments, such as `["notify-send", "training has ended"]`; no shell is between.
    /// Required.
    pub command: Vec<String>,
}

/// The objectives' gradients that are kept within a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GradientUse {
    /// All of them, or their products only, by the machine's memory.
    #[default]
    Auto,
    /// All of them.
    Kept,
    /// Their products; a second pass makes the combined one.
    Twice,
}

/// `[model]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawModel {
    /// A folder in diffusers' layout (`unet`, `vae`, `text_encoder`, `tokenizer`, `scheduler`, ...), one
    /// checkpoint file of SD 1.x, SD 2.x or SDXL, or `"builtin"`. Required.
    pub path: PathBuf,
    /// For a checkpoint file: a model folder for the parts that it lacks (autoencoder, text encoders), and
    /// for the settings of networks that have not the sizes of a published family.
    pub base: Option<PathBuf>,
    /// For a checkpoint file: `"epsilon"` or `"v"`, where it does not say what the model predicts, or
    /// wrongly.
    pub prediction: Option<Prediction>,
    /// An autoencoder in the place of the model's: its folder, a model folder or checkpoint file that has it,
    /// or one file of it alone. Default: the model's own.
    pub vae: Option<PathBuf>,
    /// The layer of the text encoder that is read, counted from its end as A1111 does: 2 for most anime
    /// models of SD 1.x. Default 1, the last one. Not for SDXL.
    pub clip_skip: Option<usize>,
}

/// The prediction of a checkpoint file's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// The noise.
    Epsilon,
    /// The velocity.
    V,
}

/// `[[objective]]`: the mean, over all latent elements of the batch, of `(scale * mask * error)^2`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawObjective {
    /// Its name in messages, logs and tables. Required.
    pub name: String,
    /// Where its masks come from: a column of `metadata.jsonl`, or for folders of files the end of the mask's
    /// name or a folder (see `[dataset]`). White is the region. Default: no mask, the whole picture.
    pub mask: Option<String>,
    /// Multiplies the error inside the square, so 5 counts 25-fold. Default 1.0 without a mask and in
    /// methods that train a control network, else 5.0 (the paper's settings).
    pub scale: Option<f64>,
    /// `"image"`: divided by the number of all latent elements, as in the paper, so that an objective is as
    /// large as its area. `"region"`: divided by the elements inside its masks. Default `"image"`.
    #[serde(default)]
    pub normalisation: Normalisation,
}

/// `[optimizer]`: AdamW (Loshchilov and Hutter 2019), with f32 moments.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOptimizer {
    /// Default 1e-4 for a LoRA, else 1e-5.
    pub learning_rate: Option<f64>,
    /// Decay of the first moment. Default 0.9.
    pub beta1: Option<f64>,
    /// Decay of the second moment. Default 0.999.
    pub beta2: Option<f64>,
    /// Added to the root of the second moment. Default 1e-8.
    pub eps: Option<f64>,
    /// Decoupled weight decay. Default 0.01.
    pub weight_decay: Option<f64>,
}

/// `[schedule]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSchedule {
    /// `"constant"` (default), `"linear"` or `"cosine"`.
    #[serde(default)]
    pub decay: Decay,
    /// Steps in which the rate rises from 0. Default 0.
    pub warmup: Option<u64>,
    /// The step at which a decaying rate has reached 0. Default: `steps`.
    pub decay_steps: Option<u64>,
}

/// `[checkpoints]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCheckpoints {
    /// Steps between checkpoints; there is always one at the end. Default 500.
    pub every: Option<u64>,
    /// Number of newest checkpoints that are kept; 0 for all. Default 3.
    pub keep: Option<usize>,
}

/// `[validation]`: the losses of held-out pictures at fixed noise and time steps, without crop or mirroring
/// drawn at random, the same for every step and every run with the same seed. Beside the objectives' losses
/// there is that of the background, which no region covers. The latents are the mean of the autoencoder's
/// posterior (training samples it), and min-SNR is off, so that runs with and without it compare. Always
/// after the last step.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawValidation {
    /// Share of the pictures that are held out, chosen by the seed. Default 0: none. A picture that is listed
    /// several times is held out with all its listings.
    pub share: Option<f64>,
    /// Held-out pictures by name, as the dataset lists them (`"images/0007.png"`); instead of `share`.
    pub samples: Option<Vec<PathBuf>>,
    /// Steps between validations. Default 500.
    pub every: Option<u64>,
    /// Time steps per picture, spread evenly. Default 4.
    pub draws: Option<usize>,
    /// Decides the noise, and which pictures `share` holds out: runs with other seeds and the same one here
    /// have the same held-out pictures and noise. Default: the run's `seed`.
    pub seed: Option<u64>,
    /// Log the losses of each held-out picture, for statistics. Default false.
    pub pictures: Option<bool>,
    /// Validate before the first step, too. Default true.
    pub at_start: Option<bool>,
}

/// `[samples]`: pictures of prompts, from the same noise every time, in `samples/step-N` of the run folder:
/// before the first step, every so many steps, and after the last. They change nothing of what is learnt. Not
/// for `method = "vae"`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSamples {
    /// Prompts, a picture for each. Required.
    pub prompts: Vec<String>,
    /// Control images of the prompts, for methods that train a control network and required there: one for
    /// each prompt, or one for all. Their middle is taken in the pictures' shape.
    #[serde(default)]
    pub control_images: Vec<PathBuf>,
    /// Negative prompt. Default: the empty text.
    pub negative: Option<String>,
    /// Steps of training between pictures. Default 500.
    pub every: Option<u64>,
    /// `"unipc"` (default), `"ddim"`, `"euler"`, `"euler-a"`, `"dpmpp-2m"` or `"heun"`.
    pub sampler: Option<String>,
    /// Steps from noise to picture. Default 30.
    pub steps: Option<usize>,
    /// Scale of classifier-free guidance. Default 7.5.
    pub guidance: Option<f64>,
    /// Share, from 0 to 1, in which the contrast that guidance adds is taken back (Lin et al. 2024). Default
    /// 0; 0.7 suits models with zero terminal SNR.
    pub guidance_rescale: Option<f64>,
    /// Width in pixels. Default: that of `[geometry]`.
    pub width: Option<u32>,
    /// Height in pixels. Default: that of `[geometry]`.
    pub height: Option<u32>,
    /// Decides the noise. Default 0.
    pub seed: Option<u64>,
}
