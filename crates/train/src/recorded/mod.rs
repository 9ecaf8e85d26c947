//! A training step as a file: everything that goes into one step, or everything that comes out of it, so that
//! other implementations can be compared number by number.
//!
//! Inputs (safetensors; images are `[B, C, h, w]`, as PyTorch keeps them):
//! ```text
//! noisy_latents, target [B,C,h,w]   timesteps [B] i64   prompt_embeds [B,T,D]
//! pooled_prompt_embeds [B,P], time_ids [B,6] (SDXL)     mask_<objective> [B,1,h,w]
//! lora.<module>.lora_{A,B}.weight, or of a step of a control network, whose folder is given beside:
//! control [B,3,H,W] in [0,1]        sample_weights [B] (min-SNR; optional)
//! header: alpha (or weighting), local_scale (or scale_<objective>, normalisation_<objective>), objectives,
//!         lora_alpha, rank, learning_rate, weight_decay, beta1, beta2, eps, max_grad_norm, seed, step,
//!         weighting_memory (of the steps before, where the weighting has one)   (strings)
//! ```
//! The first objective is `global` without a mask, then one per `mask_...`: in the order of the header's
//! `objectives` where there is one, else by name.
//!
//! Outputs: `prediction [B,C,h,w]`, `losses [K]`, `gram [K,K]` f64 (of a step with the gradients of all
//! objectives), `weights [K]` f64, `grad_norm [1]` (before clipping), `lora....weight` or `control.<tensor>`
//! updated.

mod tensors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_fairness::{self as fairness, State, weighting::AlphaFair};

use crate::aggregate::Weighting;
use crate::batch::{Batch, Targets};
use crate::denoising::{DenoisingInputs, TextInputs};
use crate::objective::{Normalisation, Objective};
use crate::recipe::Optimizer;
pub use tensors::{
    Tensor, TensorFile, Values, channels_first, channels_last, differences, read_tensors, write_tensors,
};

/// Why a recorded step could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The operating system refused the file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file does not hold a recorded step.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The tensor or header key, what was expected and what was found.
        problem: String,
    },
}

/// The trained part of a recorded step.
#[derive(Debug, Clone, PartialEq)]
pub enum Trained {
    /// An adapter.
    Lora {
        /// `lora.<module>.lora_{A,B}.weight`, as stored.
        values: BTreeMap<String, Tensor>,
        /// Multiplier times the rank.
        alpha: f64,
    },
    /// A control network.
    Control {
        /// Control images, `[N, H, W, 3]` in [0, 1].
        images: Vec<f32>,
        /// Their pixels per cell of the latents.
        reduction: usize,
    },
}

/// One step as recorded: its batch, and everything that it is computed with.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedStep {
    /// The batch; latents as `[N, h, w, C]`.
    pub batch: Batch<DenoisingInputs>,
    /// Objectives, the first one without a mask.
    pub objectives: Vec<Objective>,
    /// Their weighting.
    pub weighting: Weighting,
    /// The trained part.
    pub trained: Trained,
    /// AdamW.
    pub optimizer: Optimizer,
    /// Largest gradient norm.
    pub max_grad_norm: f64,
    /// Seed and step, which random weightings depend on; 0 and 1 where the file does not say.
    pub position: (u64, u64),
    /// The weighting's memory of the steps before; empty where the file does not say.
    pub memory: State,
}

const SCALE: &str = "a positive number";

fn positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

fn at_least_zero(value: f64) -> bool {
    value >= 0.0 && value.is_finite()
}

/// The pieces of an inputs file, with messages that name the file and the piece.
struct Reader<'a> {
    path: &'a Path,
    file: TensorFile,
}

impl Reader<'_> {
    fn fail(&self, problem: impl Into<String>) -> RecordError {
        RecordError::Content { path: self.path.into(), problem: problem.into() }
    }

    /// The values of a tensor whose shape must be `shape`, `None` standing for any size.
    fn tensor(&self, name: &str, shape: &[Option<usize>]) -> Result<(Vec<usize>, Vec<f32>), RecordError> {
        let tensor = self.file.tensors.get(name).ok_or_else(|| self.fail(format!("no tensor \"{name}\"")))?;
        let fits = tensor.shape.len() == shape.len()
            && tensor.shape.iter().zip(shape).all(|(found, wanted)| wanted.is_none_or(|w| w == *found));
        if !fits {
            let wanted: Vec<String> =
                shape.iter().map(|s| s.map_or("any".into(), |s| s.to_string())).collect();
            let (found, wanted) = (&tensor.shape, wanted.join(", "));
            return Err(self.fail(format!("the tensor \"{name}\" has shape {found:?}, expected [{wanted}]")));
        }
        Ok((tensor.shape.clone(), tensor.to_f32()))
    }

    fn number(&self, key: &str) -> Result<f64, RecordError> {
        let text = self.file.metadata.get(key);
        let text = text.ok_or_else(|| self.fail(format!("the header has no \"{key}\"")))?;
        text.trim()
            .parse()
            .map_err(|_| self.fail(format!("\"{key}\" in the header is {text:?}, expected a number")))
    }

    /// A number that must fit.
    fn checked(&self, key: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<f64, RecordError> {
        let value = self.number(key)?;
        match fits(value) {
            true => Ok(value),
            false => Err(self.fail(format!("\"{key}\" in the header is {value}, expected {expected}"))),
        }
    }

    /// A tensor whose values must all fit.
    fn values(
        &self,
        name: &str,
        shape: &[Option<usize>],
        expected: &str,
        fits: impl Fn(f32) -> bool,
    ) -> Result<Vec<f32>, RecordError> {
        let (_, values) = self.tensor(name, shape)?;
        match values.iter().find(|&&value| !fits(value)) {
            None => Ok(values),
            Some(value) => {
                Err(self.fail(format!("the tensor \"{name}\" holds {value}, expected {expected}")))
            }
        }
    }

    fn objective(&self, name: &str) -> Result<Objective, RecordError> {
        let own = format!("scale_{name}");
        let key = if self.file.metadata.contains_key(&own) { &own } else { "local_scale" };
        let normalisation = match self.file.metadata.get(&format!("normalisation_{name}")).map(String::as_str)
        {
            None | Some("image") => Normalisation::Image,
            Some("region") => Normalisation::Region,
            Some(other) => {
                return Err(self.fail(format!("normalisation_{name} is {other:?}: image or region?")));
            }
        };
        let mask = Some(format!("mask_{name}"));
        Ok(Objective { name: name.into(), mask, scale: self.checked(key, SCALE, positive)?, normalisation })
    }
}

/// Names of the masks' objectives, in their order.
fn objective_names(file: &TensorFile) -> Vec<String> {
    let mut names: Vec<String> =
        file.tensors.keys().filter_map(|k| k.strip_prefix("mask_")).map(String::from).collect();
    let stated: Vec<&str> = file.metadata.get("objectives").map_or(Vec::new(), |s| s.split(',').collect());
    let rank = |name: &String| stated.iter().position(|s| s.trim() == name).unwrap_or(stated.len());
    names.sort_by_key(rank);
    names
}

/// The trained part of a step of `n` samples with latents of `(h, w)` cells.
fn trained(r: &Reader<'_>, n: usize, (h, w): (usize, usize)) -> Result<Trained, RecordError> {
    let lora = r.file.tensors.iter().filter(|(k, _)| k.starts_with("lora."));
    let values: BTreeMap<String, Tensor> = lora.map(|(k, t)| (k.clone(), t.clone())).collect();
    if !values.is_empty() {
        return Ok(Trained::Lora {
            values,
            alpha: r.checked("lora_alpha", "a finite number", f64::is_finite)?,
        });
    }
    if !r.file.tensors.contains_key("control") {
        return Err(r.fail(
            "no tensor \"lora.<module>.lora_A.weight\", and no \"control\": there is nothing to train",
        ));
    }
    let (shape, _) = r.tensor("control", &[Some(n), Some(3), None, None])?;
    let reduction = shape[2] / h.max(1);
    if reduction == 0 || shape[2..] != [h * reduction, w * reduction] {
        let problem = format!(
            "the tensor \"control\" has shape {shape:?}, expected pictures of a multiple of the latents' {h}x{w} cells"
        );
        return Err(r.fail(problem));
    }
    let pixels =
        r.values("control", &[Some(n), Some(3), None, None], "0 to 1", |v| (0.0..=1.0).contains(&v))?;
    Ok(Trained::Control { images: channels_last(&pixels, [n, 3, shape[2], shape[3]]), reduction })
}

/// Reads the inputs of one step.
///
/// # Errors
/// A tensor or header key that is missing, of another shape or type, by name.
pub fn read_inputs(path: &Path) -> Result<RecordedStep, RecordError> {
    let r = Reader { path, file: read_tensors(path)? };
    let (shape, noisy) = r.tensor("noisy_latents", &[None; 4])?;
    let [n, c, h, w] = [shape[0], shape[1], shape[2], shape[3]];
    let latents = [Some(n), Some(c), Some(h), Some(w)];
    let (_, target) = r.tensor("target", &latents)?;
    let timesteps = r.values("timesteps", &[Some(n)], "whole numbers from 0 to 999999", |t| {
        (0.0..1e6).contains(&t) && t.fract() == 0.0
    })?;
    let (prompt_shape, prompt) = r.tensor("prompt_embeds", &[Some(n), None, None])?;
    let optional = |name: &str, shape: &[Option<usize>]| match r.file.tensors.contains_key(name) {
        true => r.tensor(name, shape).map(|(_, values)| values),
        false => Ok(Vec::new()),
    };
    let pooled = optional("pooled_prompt_embeds", &[Some(n), None])?;
    let time_ids = optional("time_ids", &[Some(n), Some(6)])?;
    let sample_weights = match r.file.tensors.contains_key("sample_weights") {
        true => r.values("sample_weights", &[Some(n)], "0 or more", |w| w >= 0.0 && w.is_finite())?,
        false => Vec::new(),
    };
    let scale = match r.file.metadata.contains_key("scale_global") {
        true => r.checked("scale_global", SCALE, positive)?,
        false => 1.0,
    };
    let whole = Objective { name: "global".into(), mask: None, scale, normalisation: Normalisation::Image };
    let (mut objectives, mut masks) = (vec![whole], vec![None]);
    for name in objective_names(&r.file) {
        objectives.push(r.objective(&name)?);
        let shape = [Some(n), Some(1), Some(h), Some(w)];
        let mask = r.values(&format!("mask_{name}"), &shape, "0 to 1", |m| (0.0..=1.0).contains(&m))?;
        masks.push(Some(mask));
    }
    let weighting: Weighting = match r.file.metadata.get("weighting") {
        Some(text) => {
            serde_json::from_str(text).map_err(|e| r.fail(format!("\"weighting\" in the header: {e}")))?
        }
        None => fairness::Weighting::from(AlphaFair::new(r.number("alpha")?)).into(),
    };
    weighting.validate(objectives.len()).map_err(|e| r.fail(format!("weighting: {e}")))?;
    let trained = trained(&r, n, (h, w))?;
    let targets = Targets {
        size: n,
        height: h,
        width: w,
        channels: c,
        values: channels_last(&target, [n, c, h, w]),
        masks,
        weights: if sample_weights.is_empty() {
            vec![1.0; n]
        } else {
            sample_weights.iter().map(|&w| f64::from(w)).collect()
        },
        names: (0..n).map(|i| format!("sample {i}")).collect(),
    };
    let inputs = DenoisingInputs {
        noisy: channels_last(&noisy, [n, c, h, w]),
        timesteps: timesteps.iter().map(|&t| t as usize).collect(),
        text: TextInputs::Embedded { prompt, tokens: prompt_shape[1], pooled },
        time_ids,
    };
    let batch = Batch { targets, inputs };
    let optimizer = Optimizer {
        learning_rate: r.checked("learning_rate", "0 or more", at_least_zero)?,
        beta1: r.checked("beta1", "a number in [0, 1)", |b| (0.0..1.0).contains(&b))?,
        beta2: r.checked("beta2", "a number in [0, 1)", |b| (0.0..1.0).contains(&b))?,
        eps: r.checked("eps", "a positive number", positive)?,
        weight_decay: r.checked("weight_decay", "0 or more", at_least_zero)?,
    };
    let max_grad_norm = r.checked("max_grad_norm", "more than 0 (inf for none)", |n| n > 0.0)?;
    let number = |key: &str, default: u64| match r.file.metadata.get(key) {
        None => Ok(default),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| r.fail(format!("\"{key}\" in the header is {text:?}, expected a whole number"))),
    };
    let position = (number("seed", 0)?, number("step", 1)?);
    let memory = match r.file.metadata.get("weighting_memory") {
        Some(text) => serde_json::from_str(text)
            .map_err(|e| r.fail(format!("\"weighting_memory\" in the header: {e}")))?,
        None => State::default(),
    };
    Ok(RecordedStep { batch, objectives, weighting, trained, optimizer, max_grad_norm, position, memory })
}
