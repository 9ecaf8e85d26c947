//! Writing recorded steps: the inputs of a step of a run, and the outputs of any step.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::lora::AdaptedModule;
use fairhuman_diffusion::unet::UNet;
use fairhuman_engine::{Backend, DType, Params};
use fairhuman_fairness::Weighting;

use crate::batch::Batch;
use crate::gradient::{Direction, Gradients};
use crate::objective::{Normalisation, Objective};
use crate::recipe::{Optimizer, Recipe};
use crate::recorded::{RecordError, Tensor, TensorFile, Values, channels_first, write_tensors};

/// What a step is computed with, beside its batch and the adapter's values.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    /// Objectives; the first without a mask, as recorded steps have it, or any.
    pub objectives: &'a [Objective],
    /// Their weighting.
    pub weighting: &'a Weighting,
    /// AdamW, with the learning rate of this step.
    pub optimizer: Optimizer,
    /// Largest gradient norm.
    pub max_grad_norm: f64,
    /// Rank.
    pub rank: usize,
    /// Multiplier times the rank.
    pub lora_alpha: f64,
}

/// The current values of an adapter under the names of a recorded step, `lora.<module>.lora_{A,B}.weight`,
/// in the shapes of LoRA files.
///
/// # Errors
/// A module that is not in the network, in words.
pub fn adapter<B: Backend>(
    backend: &B,
    unet: &UNet<B>,
    params: &Params<B>,
    modules: &[AdaptedModule],
) -> Result<BTreeMap<String, Tensor>, String> {
    let file = unet.export_lora(backend, params, modules, DType::F32).map_err(|e| e.to_string())?;
    let pairs = file.modules.into_iter().flat_map(|(path, module)| {
        let path = path.strip_prefix("unet.").unwrap_or(&path).to_owned();
        let key = |side: char| format!("lora.{path}.lora_{side}.weight");
        let tensor = |t: fairhuman_diffusion::lora_file::LoraTensor| Tensor::f32(&t.shape, t.data);
        [(key('A'), tensor(module.down)), (key('B'), tensor(module.up))]
    });
    Ok(pairs.collect())
}

/// Whether a step of this recipe can be recorded, by a command that ends after step `until`.
///
/// # Errors
/// What stands in the way.
pub fn possible(recipe: &Recipe, step: u64, until: u64) -> Result<(), String> {
    if step == 0 || step > until {
        return Err(format!("this command makes steps up to {until}"));
    }
    if recipe.lora().is_none() {
        return Err("steps are recorded where a LoRA is trained (method = \"lora\")".into());
    }
    if !recipe.objective.iter().enumerate().all(|(k, o)| (k == 0) == o.mask.is_none()) {
        return Err(
            "a recorded step has one objective without a mask, which is the first; this recipe has other \
                    objectives"
                .into(),
        );
    }
    if recipe.geometry.buckets.is_some() && recipe.accumulation > 1 {
        return Err("with buckets a step is one batch only where accumulation = 1".into());
    }
    Ok(())
}

/// Writes the inputs of a step. All micro-batches of the step become one batch.
///
/// # Errors
/// A file that cannot be written.
pub fn write_inputs(
    path: &Path,
    batch: &Batch,
    settings: &Settings<'_>,
    adapter: BTreeMap<String, Tensor>,
) -> Result<(), RecordError> {
    let (n, c, h, w) = (batch.size, batch.channels, batch.height, batch.width);
    let mut tensors = adapter;
    let mut put = |name: &str, shape: &[usize], values: Vec<f32>| {
        tensors.insert(name.to_owned(), Tensor::f32(shape, values));
    };
    put("noisy_latents", &[n, c, h, w], channels_first(&batch.noisy, [n, c, h, w]));
    put("target", &[n, c, h, w], channels_first(&batch.target, [n, c, h, w]));
    let width = batch.prompt.len() / (n * batch.tokens).max(1);
    put("prompt_embeds", &[n, batch.tokens, width], batch.prompt.clone());
    if !batch.pooled.is_empty() {
        put("pooled_prompt_embeds", &[n, batch.pooled.len() / n.max(1)], batch.pooled.clone());
    }
    if !batch.time_ids.is_empty() {
        put("time_ids", &[n, 6], batch.time_ids.clone());
    }
    if batch.weights.iter().any(|&weight| weight != 1.0) {
        put("sample_weights", &[n], batch.weights.iter().map(|&weight| weight as f32).collect());
    }
    for (objective, mask) in settings.objectives.iter().zip(&batch.masks) {
        if let Some(mask) = mask {
            put(&format!("mask_{}", objective.name), &[n, 1, h, w], mask.clone());
        }
    }
    let timesteps = Values::I64(batch.timesteps.iter().map(|&t| t as i64).collect());
    tensors.insert("timesteps".into(), Tensor { shape: vec![n], values: timesteps });
    write_tensors(path, &TensorFile { tensors, metadata: header(settings) })
}

fn header(settings: &Settings<'_>) -> BTreeMap<String, String> {
    let o = settings.optimizer;
    let mut header: BTreeMap<String, String> = [
        ("lora_alpha", settings.lora_alpha),
        ("learning_rate", o.learning_rate),
        ("weight_decay", o.weight_decay),
        ("beta1", o.beta1),
        ("beta2", o.beta2),
        ("eps", o.eps),
        ("max_grad_norm", settings.max_grad_norm),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), format!("{value:?}")))
    .collect();
    header.insert("rank".into(), settings.rank.to_string());
    match settings.weighting {
        Weighting::AlphaFair { alpha } => header.insert("alpha".into(), format!("{alpha:?}")),
        other => header.insert("weighting".into(), serde_json::json!(other).to_string()),
    };
    let masked: Vec<&Objective> = settings.objectives.iter().filter(|o| o.mask.is_some()).collect();
    header.insert("objectives".into(), masked.iter().map(|o| o.name.as_str()).collect::<Vec<_>>().join(","));
    if let [first, rest @ ..] = masked.as_slice()
        && rest.iter().all(|o| o.scale == first.scale)
    {
        header.insert("local_scale".into(), format!("{:?}", first.scale));
    }
    for objective in settings.objectives {
        // Whatever it is called, a recorded step knows the objective without a mask as global.
        let name = if objective.mask.is_none() { "global" } else { &objective.name };
        header.insert(format!("scale_{name}"), format!("{:?}", objective.scale));
        if objective.normalisation == Normalisation::Region {
            header.insert(format!("normalisation_{}", objective.name), "region".into());
        }
    }
    header
}

/// What a step gave, as tensors of a file; `adapter` are the updated values.
pub fn outputs<B: Backend>(
    batch: &Batch,
    gradients: &Gradients<B>,
    direction: &Direction<B>,
    adapter: BTreeMap<String, Tensor>,
) -> TensorFile {
    let k = gradients.losses.len();
    let shape = [batch.size, batch.channels, batch.height, batch.width];
    let mut tensors = adapter;
    let prediction = channels_first(&gradients.prediction, shape);
    tensors.insert("prediction".into(), Tensor::f32(&shape, prediction));
    let losses = gradients.losses.iter().map(|&l| l as f32).collect();
    tensors.insert("losses".into(), Tensor::f32(&[k], losses));
    tensors.insert("gram".into(), Tensor::f64(&[k, k], direction.gram.clone()));
    tensors.insert("weights".into(), Tensor::f64(&[k], direction.solution.weights.clone()));
    tensors.insert("grad_norm".into(), Tensor::f32(&[1], vec![direction.norm as f32]));
    TensorFile { tensors, metadata: BTreeMap::new() }
}
